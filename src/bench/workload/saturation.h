#pragma once
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <vector>

#include "base/result.h"
#include "bench/workload/serving_metrics.h"

namespace slora::bench {

struct SaturationOptions {
  double first_rate = 1;           // requests a second
  double attainment_target = 0.9;  // a rate is sustained while at least this share of all requests attains the SLO
  double step = 2;                 // factor between rates until one is not sustained
  double precision = 0.1;          // the rates on both sides of the limit differ by at most this share of the lower one
  double rate_max = std::numeric_limits<double>::infinity();  // at least first_rate; runs at higher ones would show no limit
  std::int32_t runs_max = 16;
};

struct SaturationRun {
  double rate = 0;
  ServingMetrics metrics;
};

struct Saturation {
  std::vector<SaturationRun> runs;       // in the order in which they ran
  std::optional<double> sustained_rate;  // the highest rate that was sustained, below any that was not; none: no rate was
  std::optional<double> broken_rate;     // the lowest that was not; none: all were
  bool sustains_rate_max = false;        // the search ended there
  bool interrupted = false;
  // Both sides of the limit are known, as near to each other as was asked for.
  bool is_bracketed = false;
};

// Finds the highest rate that is sustained: steps up (or down, if the first is too much) by `step` until the limit lies between two rates,
// then halves the distance on a logarithmic scale. `run` measures one rate, in a simulation or against a server; nothing: it was
// interrupted. Attainment is taken to fall as the rate grows. An error is that of `run`.
[[nodiscard]] Result<Saturation> find_saturation(const SaturationOptions& options,
                                                 const std::function<Result<std::optional<ServingMetrics>>(double rate)>& run);

}  // namespace slora::bench
