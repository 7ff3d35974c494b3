#pragma once
#include <string_view>

namespace slora {

// The seeded bug that this process runs with; empty: none. Set once, before anything else runs. Only the generated sources and the
// program they are linked into use it.
inline std::string_view active_mutant;

[[nodiscard]] inline bool mutant_is(std::string_view name) { return name == active_mutant; }

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
