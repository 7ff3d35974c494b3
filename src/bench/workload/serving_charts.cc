#include "bench/workload/serving_charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <utility>

namespace slora::bench {
namespace {

constexpr std::size_t kCurvePointsMax = 500;  // of a distribution: more can't be seen

PlotSeries rate_series(const RateCurve& curve, std::string name, const std::function<double(const ServingMetrics&)>& figure) {
  PlotSeries series{std::move(name), {}};
  for (const SaturationRun& run : curve.runs) series.points.push_back({run.rate, figure(run.metrics)});
  std::ranges::sort(series.points, {}, &PlotPoint::x);
  return series;
}

// Percent of `count` requests whose time is at most x. Requests without a time are missing from the curve's height.
PlotSeries distribution_of(std::string name, std::vector<double> times, std::size_t count) {
  PlotSeries series{std::move(name), {}};
  std::ranges::sort(times);
  const std::size_t stride = times.size() / kCurvePointsMax + 1;
  for (std::size_t i = 0; i < times.size(); ++i) {
    if (i % stride != 0 && i + 1 != times.size()) continue;
    series.points.push_back({times[i], 100 * static_cast<double>(i + 1) / static_cast<double>(count)});
  }
  return series;
}

}  // namespace

std::vector<LineChart> rate_charts(std::span<const RateCurve> curves) {
  const double slo =
      curves.empty() || curves.front().runs.empty() ? ServingOptions().slo_seconds : curves.front().runs.front().metrics.slo_seconds;
  std::vector<LineChart> charts(3);
  charts[0] = {fmt::format("First token within {:g} s", slo), "offered requests/s", "% of all requests", {}};
  charts[1] = {"Time to the first token", "offered requests/s", "s", {}, AxisScale::linear, AxisScale::logarithmic};
  charts[2] = {"Throughput", "offered requests/s", "completed requests/s", {}};
  for (const RateCurve& curve : curves) {
    charts[0].series.push_back(rate_series(curve, curve.name, [](const ServingMetrics& metrics) { return 100 * metrics.slo_attainment; }));
    charts[1].series.push_back(
        rate_series(curve, curve.name + " median", [](const ServingMetrics& metrics) { return metrics.first_token.p50; }));
    charts[1].series.push_back(
        rate_series(curve, curve.name + " p99", [](const ServingMetrics& metrics) { return metrics.first_token.p99; }));
    charts[2].series.push_back(rate_series(curve, curve.name, [](const ServingMetrics& metrics) { return metrics.requests_per_second; }));
  }
  return charts;
}

std::vector<LineChart> latency_charts(const std::string& name, const Trace& trace, std::span<const ServedRequest> served) {
  std::vector<double> first, last;
  for (const ServedRequest& request : served) {
    if (request.end != ServedEnd::completed) continue;
    first.push_back(request.first_token - request.arrival);
    last.push_back(request.last_token - request.arrival);
  }
  LineChart chart{name, "s since the request's arrival", "% of all requests", {}};
  chart.series.push_back(distribution_of("first token", std::move(first), trace.requests.size()));
  chart.series.push_back(distribution_of("last token", std::move(last), trace.requests.size()));
  return {chart};
}

}  // namespace slora::bench
