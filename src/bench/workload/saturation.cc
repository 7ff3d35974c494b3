#include "bench/workload/saturation.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace slora::bench {
namespace {

// The next rate to run, or nothing when the limit is known well enough.
std::optional<double> next_rate(const SaturationOptions& options, const Saturation& found) {
  if (found.runs.empty()) return options.first_rate;
  if (!found.broken_rate && *found.sustained_rate >= options.rate_max) return std::nullopt;
  if (!found.broken_rate) return std::min(*found.sustained_rate * options.step, options.rate_max);
  if (!found.sustained_rate) return *found.broken_rate / options.step;
  if (*found.broken_rate <= *found.sustained_rate * (1 + options.precision)) return std::nullopt;
  return std::sqrt(*found.sustained_rate * *found.broken_rate);
}

}  // namespace

Result<Saturation> find_saturation(const SaturationOptions& options,
                                   const std::function<Result<std::optional<ServingMetrics>>(double rate)>& run) {
  check(options.first_rate > 0 && options.step > 1 && options.precision > 0, "expected a positive rate and precision, and a step above 1");
  check(options.first_rate <= options.rate_max, "expected a first rate up to the highest one");
  Saturation found;
  while (found.runs.size() < static_cast<std::size_t>(options.runs_max)) {
    const std::optional<double> rate = next_rate(options, found);
    if (!rate) break;
    Result<std::optional<ServingMetrics>> metrics = run(*rate);
    if (!metrics) return forward_error(metrics);
    found.interrupted = !metrics->has_value();
    if (found.interrupted) return found;
    found.runs.push_back({*rate, **metrics});
    ((*metrics)->slo_attainment >= options.attainment_target ? found.sustained_rate : found.broken_rate) = *rate;
  }
  found.sustains_rate_max = !found.broken_rate && found.sustained_rate && *found.sustained_rate >= options.rate_max;
  found.is_bracketed = found.broken_rate && !next_rate(options, found);
  return found;
}

}  // namespace slora::bench
