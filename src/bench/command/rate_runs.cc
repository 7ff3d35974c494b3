#include "bench/command/rate_runs.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace slora {

std::optional<double> first_rate_of(const RateArguments& rates, double workload_rate) {
  if (!rates.rates.empty()) return rates.rates.front();
  if (rates.find_saturation) return workload_rate;
  return std::nullopt;
}

Status check_search(const RateArguments& rates, const TraceSource& source) {
  const double slo = rates.serving.slo_seconds;
  if (!rates.find_saturation) return {};
  if (!(source.rate() > 0)) return error("bad_option", "--find-saturation: expected a trace with requests, found none");
  if (source.rate() <= source.rate_max(slo)) return {};
  return error(
      "bad_option",
      "--find-saturation: expected a trace that lasts as long as the SLO of {:g} s at least, found one of {:g} s: its requests may all "
      "wait for one another",
      slo, source.seconds());
}

Result<RatesOutcome> run_rates(const RateArguments& rates, const TraceSource& source, const RateRun& run) {
  RatesOutcome outcome;
  if (rates.find_saturation) {
    const bench::SaturationOptions options{
        .first_rate = source.rate(), .attainment_target = rates.attainment, .rate_max = source.rate_max(rates.serving.slo_seconds)};
    Result<bench::Saturation> found = bench::find_saturation(options, [&](double rate) { return run(rate); });
    if (!found) return forward_error(found);
    outcome.interrupted = found->interrupted;
    outcome.saturation = std::move(*found);
    return outcome;
  }
  std::vector<std::optional<double>> all(rates.rates.begin(), rates.rates.end());
  if (all.empty()) all.emplace_back();
  for (const std::optional<double> rate : all) {
    const Result<std::optional<bench::ServingMetrics>> metrics = run(rate);
    if (!metrics) return tl::unexpected(metrics.error());
    outcome.interrupted = !metrics->has_value();
    if (outcome.interrupted) break;
  }
  return outcome;
}

std::string saturation_line(const bench::Saturation& found) {
  const auto shown = [](const std::optional<double>& rate) { return rate ? fmt::format("{:.3f} requests/s", *rate) : "no rate"; };
  const std::string_view end = found.is_bracketed        ? ""
                               : found.sustains_rate_max ? " (the trace is too short to show the limit)"
                                                         : " (the search ended before the limit was known)";
  return fmt::format("saturation    {} was sustained, {} was not{}", shown(found.sustained_rate), shown(found.broken_rate), end);
}

void report_saturation(const bench::Saturation& found, const RateArguments& rates, BenchLog& log) {
  fmt::print("{}\n", saturation_line(found));
  const auto value = [](const std::optional<double>& rate) { return rate ? Json(*rate) : Json(nullptr); };
  log.write({{"sustained_rate", value(found.sustained_rate)},
             {"broken_rate", value(found.broken_rate)},
             {"attainment", rates.attainment},
             {"is_bracketed", found.is_bracketed}});
}

namespace {

tl::unexpected<Error> svg_error(const std::string& path) { return error("bad_option", "--svg: {} can't be written", path); }

}  // namespace

Status check_svg(const std::string& path) {
  if (path.empty()) return {};
  std::error_code failure;
  const bool is_there = std::filesystem::exists(path, failure);
  if (!std::ofstream(path, std::ios::binary | std::ios::app)) return svg_error(path);
  if (!is_there) std::filesystem::remove(path, failure);
  return {};
}

Status write_svg(const std::string& path, std::span<const LineChart> charts) {
  if (path.empty() || charts.empty()) return {};
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << svg_of(charts);
  file.close();
  if (!file) return svg_error(path);
  return {};
}

}  // namespace slora
