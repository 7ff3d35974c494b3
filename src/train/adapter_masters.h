#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/module_table.h"
#include "train/train_options.h"

namespace slora {

// "q_proj" of "model.layers.0.self_attn.q_proj"
[[nodiscard]] inline std::string_view last_name(std::string_view path) { return path.substr(path.rfind('.') + 1); }

// A module that is trained, and where its numbers lie among those of the adapter.
struct MasterModule {
  std::string path;  // "model.layers.0.self_attn.q_proj"
  Site site{};
  std::int32_t slice_begin = 0;  // first output column within its site
  std::int32_t in = 0, out = 0, rank = 0;
  double alpha = 0;
  float scale = 1;
  std::size_t begin = 0;  // of A [rank, in]; B [out, rank] follows it

  [[nodiscard]] std::size_t a_count() const { return static_cast<std::size_t>(rank) * static_cast<std::size_t>(in); }
  [[nodiscard]] std::size_t b_count() const { return static_cast<std::size_t>(out) * static_cast<std::size_t>(rank); }
  [[nodiscard]] std::size_t end() const { return begin + a_count() + b_count(); }
  // Its part of an array that has a number for each of the adapter's: the masters, their gradients, ...
  template <class T>
  [[nodiscard]] std::span<T> a_of(std::span<T> numbers) const {
    return numbers.subspan(begin, a_count());
  }
  template <class T>
  [[nodiscard]] std::span<T> b_of(std::span<T> numbers) const {
    return numbers.subspan(begin + a_count(), b_count());
  }
};

// A LoRA adapter as training changes it, in full precision. Owned by its trainer.
struct AdapterMasters {
  std::int32_t rank = 0;  // of modules for which no pattern says another, as alpha
  double alpha = 0;
  bool scale_by_root_of_rank = false;
  std::vector<MasterModule> modules{};  // ordered by (site, slice_begin)
  std::vector<float> values{};          // A and B of each module
};

// What the options ask for: without an initial adapter, A of each module uniform in +-1/sqrt(in) and B zero, drawn by the seed; else the
// modules, ranks, scales and numbers of the adapter in that folder. E_UNSUPPORTED_TRAINING for what is not trained, E_TARGET for names of
// modules that the model lacks, E_PATTERN, E_RANK, and the errors of reading an adapter.
[[nodiscard]] Result<AdapterMasters> make_masters(const AdapterOptions& options, const ModuleTable& base, std::uint64_t seed);

}  // namespace slora
