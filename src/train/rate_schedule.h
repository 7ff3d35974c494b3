#pragma once
#include <cstdint>

#include "train/train_options.h"

namespace slora {

// By what the rate is multiplied at a step, counted from 0, of step_count: as transformers' schedules do, so that the first step of a
// warm-up has rate 0.
[[nodiscard]] double rate_factor(const OptimiserOptions& options, std::int64_t step, std::int64_t step_count);

}  // namespace slora
