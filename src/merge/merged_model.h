#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/folder.h"
#include "formats/model_folder.h"
#include "tensor/dtype.h"

namespace slora {

struct MergeOptions {
  std::string base_folder;
  FolderPath adapter;
  std::string out;
  float weight = 1;                                              // of what the adapter adds
  std::optional<DType> dtype;                                    // of all tensors; none: as the base's
  std::function<void(std::uint64_t, std::uint64_t)> progress{};  // bytes of the weights that are written, and all; may be empty
  const std::atomic<bool>* stop = nullptr;                       // ends the work with E_STOPPED once it is true
};

// How far the stored numbers are from the merged ones, of all tensors that the adapter changes: norms of the rounding errors and of the
// changes that the adapter makes.
struct MergeRounding {
  double error = 0, change = 0;
  [[nodiscard]] double share() const { return change > 0 ? error / change : 0; }
};

struct MergeReport {
  std::size_t tensor_count = 0, changed_count = 0;
  std::uint64_t bytes = 0;  // of the weights
  MergeRounding rounding;
  std::string most_rounded;  // the tensor with the largest share, and that; empty: none
  double most_rounded_share = 0;
  std::vector<std::string> warnings;
};

// Writes a model folder whose base alone computes what `base` computes with the adapter: every weight that the adapter changes as
// MergedNumbers has it, rounded once; all others to the bit; config.json and the files about text as in the base's folder. Weights are in
// as many files of the same names. Holds a few MiB and the parts of one module at a time. What can't be exact is refused:
// E_UNSUPPORTED_OPTION for adapters that act on some tokens only, biases that the architecture does not have, a weight for what does more
// than add; E_NONFINITE for numbers that overflow; the reasons for which the server refuses an adapter; E_EXISTS, E_WRITE. After an error
// nothing is left at `out`. Requires: `base` was opened from base_folder, its files have the tensors of its config.
[[nodiscard]] Result<MergeReport> write_merged_model(std::shared_ptr<const ModelFolder> base, const MergeOptions& options);

}  // namespace slora
