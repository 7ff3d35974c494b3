#include "train/rate_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace slora {

double rate_factor(const OptimiserOptions& options, std::int64_t step, std::int64_t step_count) {
  const auto t = static_cast<double>(step), all = static_cast<double>(step_count);
  const double warm_up = std::ceil(options.warm_up_share * all);
  if (t < warm_up) return t / warm_up;
  if (options.schedule == RateSchedule::constant) return 1;
  const double progress = std::min(1.0, (t - warm_up) / std::max(1.0, all - warm_up));
  const double factor = options.schedule == RateSchedule::linear ? 1 - progress : 0.5 * (1 + std::cos(std::numbers::pi * progress));
  return options.rate_end_share + (1 - options.rate_end_share) * factor;
}

}  // namespace slora
