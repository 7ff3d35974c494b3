#pragma once
#include <span>

#include "train/sample.h"
#include "train/train_options.h"

namespace slora {

// Trains an adapter on the samples as `slora train` is asked to, or goes on with a run that stopped: prints its progress, saves checkpoints
// and, at the end, the adapter at options.out. Returns the process's exit code.
[[nodiscard]] int run_training(const TrainOptions& options, std::span<const Sample> samples, std::span<const Sample> eval_samples);

}  // namespace slora
