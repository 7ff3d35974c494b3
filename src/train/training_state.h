#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "train/sample.h"
#include "train/train_options.h"
#include "train/trainer.h"

namespace slora {

inline constexpr std::string_view kStateNumbers = "training_state.safetensors";
inline constexpr std::string_view kStateFacts = "training_state.json";

// What must be the same for a run to go on from a state: by name, as text. Data and base are SHA-256 digests.
using RunIdentity = std::vector<std::pair<std::string, std::string>>;
[[nodiscard]] RunIdentity run_identity(const TrainOptions& options, const TrainingBase& base, std::span<const Sample> samples,
                                       std::span<const Sample> eval_samples);

// Writes the two files of a state into a folder, where they are not there yet. E_EXISTS, E_WRITE.
[[nodiscard]] Status write_state(const std::string& folder, const TrainingState& state, const RunIdentity& run);
// E_STATE for files that are no such state, or of a run that differs, naming what does; and the errors of reading files. `value_count`: of
// the adapter.
[[nodiscard]] Result<TrainingState> read_state(const std::string& folder, const RunIdentity& run, std::size_t value_count);

}  // namespace slora
