#pragma once
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "bench/command/log.h"
#include "bench/command/workload_options.h"
#include "bench/workload/saturation.h"
#include "bench/workload/serving_metrics.h"
#include "formats/svg_plot.h"

namespace slora {

// Measures one rate; none: that of the workload or trace. Nothing when it was interrupted.
using RateRun = std::function<Result<std::optional<bench::ServingMetrics>>(std::optional<double> rate)>;

struct RatesOutcome {
  bool interrupted = false;
  std::optional<bench::Saturation> saturation;  // if it was searched for
};

// The rate of the first run of run_rates(). `workload_rate`: where a search for saturation begins.
[[nodiscard]] std::optional<double> first_rate_of(const RateArguments& rates, double workload_rate);
// Whether these requests can show where saturation is, if that is searched for; if not, bad_option.
[[nodiscard]] Status check_search(const RateArguments& rates, const TraceSource& source);
// One run at each of the rates, until one is interrupted; or the search for saturation, from the source's rate on. An error is that of
// `run`. Requires: check_search().
[[nodiscard]] Result<RatesOutcome> run_rates(const RateArguments& rates, const TraceSource& source, const RateRun& run);

// Prints what a search found, and writes it to the log.
void report_saturation(const bench::Saturation& found, const RateArguments& rates, BenchLog& log);
[[nodiscard]] std::string saturation_line(const bench::Saturation& found);

// Whether the file of --svg can be written: before a run, so that it is not lost. Leaves the file as it is.
[[nodiscard]] Status check_svg(const std::string& path);
// Replaces the file of --svg; does nothing without a path or a chart.
[[nodiscard]] Status write_svg(const std::string& path, std::span<const LineChart> charts);

}  // namespace slora
