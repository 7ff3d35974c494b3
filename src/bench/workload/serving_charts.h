#pragma once
#include <span>
#include <string>
#include <vector>

#include "bench/workload/saturation.h"
#include "formats/svg_plot.h"

namespace slora::bench {

// One line of a comparison, such as a policy or a server: its name, and its figures at several rates.
struct RateCurve {
  std::string name;  // may be empty when there is only one
  std::vector<SaturationRun> runs;
};

// Against the offered rate: SLO attainment; time to the first token, median and p99; throughput. Runs are sorted by their rate.
[[nodiscard]] std::vector<LineChart> rate_charts(std::span<const RateCurve> curves);

// Of one run: which share of all requests had their first token, and their last, within a time.
[[nodiscard]] std::vector<LineChart> latency_charts(const std::string& name, const Trace& trace, std::span<const ServedRequest> served);

}  // namespace slora::bench
