#include "bench/command/rate_runs.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>
#include <vector>

namespace slora {

std::optional<double> first_rate_of(const RateArguments& rates, double workload_rate) {
  if (!rates.rates.empty()) return rates.rates.front();
  if (rates.find_saturation) return workload_rate;
  return std::nullopt;
}

Result<RatesOutcome> run_rates(const RateArguments& rates, double workload_rate, const RateRun& run) {
  RatesOutcome outcome;
  if (rates.find_saturation) {
    const bench::SaturationOptions options{.first_rate = workload_rate, .attainment_target = rates.attainment};
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
  return fmt::format("saturation    {} was sustained, {} was not{}", shown(found.sustained_rate), shown(found.broken_rate),
                     found.is_bracketed ? "" : " (the search ended before the limit was known)");
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

Status write_svg(const std::string& path, std::span<const bench::LineChart> charts) {
  if (path.empty() || charts.empty()) return {};
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << bench::svg_of(charts);
  file.close();
  if (!file) return svg_error(path);
  return {};
}

}  // namespace slora
