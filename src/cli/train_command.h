#pragma once
#include <CLI/CLI.hpp>

#include "train/train_options.h"

namespace slora {

// Adds `slora train` with its options, which are written to `options`.
CLI::App* add_train(CLI::App& app, TrainOptions& options);

}  // namespace slora
