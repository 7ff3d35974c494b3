#include "bench/simulation/cost_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "bench/workload/json_lines.h"

namespace slora::bench {
namespace {

constexpr std::size_t kTermCount = 5;
enum Term : std::size_t { kBytes, kOperations, kStep, kSequence, kAdapters };
using Terms = std::array<double, kTermCount>;

// What each coefficient is multiplied with. In units with which the coefficients are of like size: seconds per gigabyte, ...
constexpr Terms kUnits = {1e9, 1e12, 1, 1e2, 1};

Terms terms_of(const MeasuredStep& step) {
  const Terms raw = {step.bytes, step.operations, 1, step.sequences, step.has_adapters ? 1.0 : 0.0};
  Terms terms{};
  for (std::size_t i = 0; i < kTermCount; ++i) terms[i] = raw[i] / kUnits[i];
  return terms;
}

double dot(const Terms& a, const Terms& b) {
  double sum = 0;
  for (std::size_t i = 0; i < kTermCount; ++i) sum += a[i] * b[i];
  return sum;
}

// The least squares with only the terms of `used`, by Gaussian elimination of the normal equations; nothing if they are singular.
std::optional<Terms> solve(std::span<const MeasuredStep> steps, unsigned used) {
  std::vector<std::size_t> indices;
  for (std::size_t i = 0; i < kTermCount; ++i)
    if ((used >> i & 1u) != 0) indices.push_back(i);
  const std::size_t count = indices.size();
  std::vector<std::vector<double>> rows(count, std::vector<double>(count + 1));
  for (const MeasuredStep& step : steps) {
    const Terms terms = terms_of(step);
    for (std::size_t i = 0; i < count; ++i) {
      const double weighted = terms[indices[i]] / (step.seconds * step.seconds);
      for (std::size_t j = 0; j < count; ++j) rows[i][j] += weighted * terms[indices[j]];
      rows[i][count] += weighted * step.seconds;
    }
  }
  constexpr double kSingular = 1e-9;  // relative to the diagonal before elimination
  for (std::size_t i = 0; i < count; ++i) {
    const double before = rows[i][i];
    for (std::size_t k = 0; k < i; ++k) {
      const double factor = rows[i][k] / rows[k][k];
      for (std::size_t j = k; j <= count; ++j) rows[i][j] -= factor * rows[k][j];
    }
    if (rows[i][i] <= kSingular * before) return std::nullopt;
  }
  Terms solution{};
  for (std::size_t i = count; i-- > 0;) {
    double value = rows[i][count];
    for (std::size_t j = i + 1; j < count; ++j) value -= rows[i][j] * solution[indices[j]];
    solution[indices[i]] = value / rows[i][i];
  }
  return solution;
}

double squared_error(std::span<const MeasuredStep> steps, const Terms& coefficients) {
  double sum = 0;
  for (const MeasuredStep& step : steps) sum += std::pow(dot(terms_of(step), coefficients) / step.seconds - 1, 2);
  return sum;
}

// With so few terms every subset is tried: the best one without a negative coefficient is the constrained optimum. Bytes and operations
// always cost something, even where the rows leave open what is theirs and what a step's.
std::optional<Terms> fit_terms(std::span<const MeasuredStep> steps) {
  std::optional<Terms> best;
  double least = 0;
  constexpr unsigned kNeeded = 1u << kBytes | 1u << kOperations;
  for (unsigned used = 0; used < 1u << kTermCount; ++used) {
    if ((used & kNeeded) != kNeeded) continue;
    const std::optional<Terms> found = solve(steps, used);
    if (!found || std::ranges::any_of(*found, [](double value) { return value < 0; })) continue;
    const double error = squared_error(steps, *found);
    if (best && error >= least) continue;
    best = found;
    least = error;
  }
  return best;
}

Result<MeasuredStep> step_of(const Json& row) {
  MeasuredStep step;
  const auto number = [&](const char* key) -> Result<double> {
    const Result<std::optional<double>> value = optional_number_at(row, key);
    if (!value) return tl::unexpected(value.error());
    if (!*value || **value < 0) return error("bad_fit", "{}: expected a number of at least 0", key);
    return **value;
  };
  const Result<double> seconds = number("seconds"), bytes = number("bytes"), weights = number("weight_operations"),
                       others = number("other_operations"), batch = number("batch"), tokens = number("tokens");
  for (const Result<double>* const value : {&seconds, &bytes, &weights, &others, &batch, &tokens})
    if (!*value) return tl::unexpected(value->error());
  if (*seconds <= 0) return error("bad_fit", "seconds: expected a positive number");
  const Result<std::string> row_name = string_at(row, "row"), adapters = string_at(row, "adapters");
  if (!row_name || !adapters) return tl::unexpected((row_name ? adapters : row_name).error());
  step = {.name = fmt::format("{} {} x {}, {}", *row_name, *batch, *tokens, *adapters),
          .seconds = *seconds,
          .bytes = *bytes,
          .operations = *weights + *others,
          .sequences = *batch,
          .has_adapters = *adapters != "none"};
  return step;
}

}  // namespace

Result<std::vector<MeasuredStep>> read_measured_steps(const std::string& path) {
  std::vector<MeasuredStep> steps;
  const Status read = read_json_lines(path, [&](const Json& line) -> Status {
    const auto row = line.find("row");
    if (row == line.end() || (*row != "decode" && *row != "prefill")) return {};
    Result<MeasuredStep> step = step_of(line);
    if (!step) return tl::unexpected(step.error());
    steps.push_back(std::move(*step));
    return {};
  });
  if (!read) return tl::unexpected(read.error());
  if (steps.empty()) return error("bad_fit", "{}: expected rows of `slora bench offline --json`, found none of decode or prefill", path);
  return steps;
}

Result<CostFit> fit_device(std::span<const MeasuredStep> steps) {
  const std::optional<Terms> found = fit_terms(steps);
  if (!found || (*found)[kBytes] <= 0 || (*found)[kOperations] <= 0) {
    return error("bad_fit", "{} rows do not determine the times per byte and per operation; measure more batch sizes, contexts and prompts",
                 steps.size());
  }
  const Terms& terms = *found;
  CostFit fit;
  fit.device = {.name = "fit",
                .bytes_per_second = kUnits[kBytes] / terms[kBytes],
                .operations_per_second = kUnits[kOperations] / terms[kOperations],
                .step_seconds = terms[kStep] / kUnits[kStep],
                .sequence_seconds = terms[kSequence] / kUnits[kSequence],
                .adapter_step_seconds = terms[kAdapters] / kUnits[kAdapters],
                .copy_bytes_per_second = kFitCopyBytesPerSecond,
                .copy_seconds = kFitCopySeconds,
                .overlap = DeviceModel::Overlap::none};
  for (const MeasuredStep& step : steps) {
    fit.predicted.push_back(dot(terms_of(step), terms));
    const double error = std::abs(fit.predicted.back() / step.seconds - 1);
    fit.error_mean += error / static_cast<double>(steps.size());
    fit.error_max = std::max(fit.error_max, error);
  }
  return fit;
}

std::vector<std::string> lines_of(const CostFit& fit, std::span<const MeasuredStep> steps) {
  std::vector<std::string> lines = {fmt::format("{:<36}{:>12}{:>12}{:>9}", "measured step", "measured ms", "fitted ms", "error")};
  for (std::size_t i = 0; i < steps.size(); ++i) {
    lines.push_back(fmt::format("{:<36}{:>12.2f}{:>12.2f}{:>8.1f}%", steps[i].name, 1e3 * steps[i].seconds, 1e3 * fit.predicted[i],
                                100 * (fit.predicted[i] / steps[i].seconds - 1)));
  }
  const DeviceModel& device = fit.device;
  lines.push_back(
      fmt::format("fit of {} steps: {:.1f} GB/s, {:.0f} GFLOP/s, {:.2f} ms a step, {:.3f} ms a sequence, {:.2f} ms with adapters",
                  steps.size(), device.bytes_per_second / 1e9, device.operations_per_second / 1e9, 1e3 * device.step_seconds,
                  1e3 * device.sequence_seconds, 1e3 * device.adapter_step_seconds));
  lines.push_back(fmt::format("error: {:.1f} % on average, {:.1f} % at most", 100 * fit.error_mean, 100 * fit.error_max));
  return lines;
}

}  // namespace slora::bench
