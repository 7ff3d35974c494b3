#pragma once
#include <cstdint>
#include <string_view>

namespace slora {

// The name of a seeded bug as a number (FNV-1a), since the places of bugs lie in inner loops.
struct MutantName {
  explicit constexpr MutantName(std::string_view name) {
    for (const char c : name) id = (id ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  consteval MutantName(const char* name) : MutantName(std::string_view(name)) {}  // implicit, for literals

  std::uint64_t id = 0xcbf29ce484222325;
};

// The seeded bug that this process runs with; by default none. Set once, before anything else runs. Only the generated sources and the
// program they are linked into use it.
inline std::uint64_t active_mutant = MutantName("").id;

// Not instrumented, nor inlined into what is: the emulator of a CUDA device watches what kernels read and write.
[[nodiscard, gnu::noinline, gnu::no_sanitize_thread]] inline bool mutant_is(MutantName name) { return name.id == active_mutant; }

// Names a place of the list that its source does not hold exactly once (any more). Registers itself for main().
struct StaleMutant {
  StaleMutant(std::string_view stale_names, std::string_view stale_place) : names(stale_names), place(stale_place), next(first) {
    first = this;
  }
  std::string_view names;  // of the mutants there, between spaces
  std::string_view place;
  const StaleMutant* next;
  static inline const StaleMutant* first = nullptr;
};

}  // namespace slora
