#include "bench/traffic_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace slora::bench {
namespace {

// The time just after a phase change counts for neither phase: loads that began before it are still running.
constexpr double kSettleSeconds = 0.5;

TrafficTimes times_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  const auto at = [&](double share) { return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))]; };
  return {values.size(), at(0.5), at(0.99)};
}

// Between the end of the first request and the sending of the last.
double steady_rate(const std::vector<const TrafficRecord*>& records) {
  if (records.empty()) return 0;
  const Timestamp begin = (*std::ranges::min_element(records, {}, &TrafficRecord::ended))->ended;
  const Timestamp end = (*std::ranges::max_element(records, {}, &TrafficRecord::sent))->sent;
  std::int64_t count = 0;
  for (const TrafficRecord* record : records)
    count += std::ranges::count_if(record->tokens, [&](Timestamp at) { return at > begin && at <= end; });
  return count == 0 ? 0 : static_cast<double>(count) / seconds(end - begin);
}

// The phase that an interval between tokens belongs to; none when it overlaps the time after a change.
std::optional<std::int64_t> settled_phase(const TrafficOptions& options, Timestamp from, Timestamp to) {
  const std::int64_t phase = phase_of(options, from);
  if (phase_of(options, to) != phase) return std::nullopt;
  if (phase > 0 && seconds(from) - static_cast<double>(phase) * options.phase_seconds < kSettleSeconds) return std::nullopt;
  return phase;
}

Json to_json(const TrafficTimes& times) { return {{"count", times.count}, {"p50", times.p50}, {"p99", times.p99}}; }

std::string shown(const TrafficTimes& times) {
  return fmt::format("median {:.2f} ms, p99 {:.2f} ms ({})", times.p50 * 1e3, times.p99 * 1e3, times.count);
}

}  // namespace

TrafficReport report_of(const TrafficOptions& options, const TrafficRun& run) {
  TrafficReport report;
  report.processor_seconds = run.processor_seconds;
  report.cold_count = run.cold_count;
  report.ran_out_of_adapters = run.ran_out_of_adapters;
  report.interrupted = run.interrupted;
  std::vector<const TrafficRecord*> streams;
  std::vector<double> first, cold_first, next, next_without, next_with;
  Timestamp last = run.begin;
  for (const TrafficRecord& record : run.records) {
    const bool was_given_up = record.ended == Timestamp{};
    ++(was_given_up ? report.given_up_count : report.ended_count);
    if (was_given_up) continue;
    if (!record.error.empty() && report.error_count++ == 0) report.first_error = record.error;
    if (!record.error.empty() || record.tokens.empty()) continue;
    (record.is_cold ? cold_first : first).push_back(seconds(record.tokens.front() - record.sent));
    if (record.is_cold) continue;
    streams.push_back(&record);
    report.cached_tokens += record.cached_tokens;
    report.output_tokens += static_cast<std::int64_t>(record.tokens.size());
    last = std::max(last, record.tokens.back());
    for (std::size_t i = 1; i < record.tokens.size(); ++i) {
      const double distance = seconds(record.tokens[i] - record.tokens[i - 1]);
      next.push_back(distance);
      const auto phase = settled_phase(options, record.tokens[i - 1] - run.begin, record.tokens[i] - run.begin);
      if (phase) (*phase % 2 == 0 ? next_without : next_with).push_back(distance);
    }
  }
  report.seconds = seconds(last - run.begin);
  if (report.seconds > 0) report.tokens_per_second = static_cast<double>(report.output_tokens) / report.seconds;
  if (options.requests > options.streams && !run.interrupted) report.steady_tokens_per_second = steady_rate(streams);
  report.first_token = times_of(std::move(first));
  report.next_token = times_of(std::move(next));
  if (options.cold_per_second <= 0) return report;
  report.cold_first_token = times_of(std::move(cold_first));
  report.next_token_without = times_of(std::move(next_without));
  report.next_token_with_cold = times_of(std::move(next_with));
  return report;
}

Json to_json(const TrafficOptions& options) {
  Json json = {{"streams", options.streams},
               {"requests", options.requests},
               {"input_tokens", options.input_tokens},
               {"output_tokens", options.output_tokens},
               {"adapter_count", options.adapter_count},
               {"vocabulary", options.vocabulary},
               {"seed", options.seed}};
  if (options.cold_per_second > 0) {
    json["cold_per_second"] = options.cold_per_second;
    json["phase_seconds"] = options.phase_seconds;
  }
  return json;
}

Json to_json(const TrafficReport& report) {
  Json json = {{"output_tokens", report.output_tokens},
               {"seconds", report.seconds},
               {"tokens_per_second", report.tokens_per_second},
               {"steady_tokens_per_second", report.steady_tokens_per_second},
               {"first_token_seconds", to_json(report.first_token)},
               {"next_token_seconds", to_json(report.next_token)},
               {"cached_tokens", report.cached_tokens},
               {"errors", report.error_count},
               {"processor_seconds", report.processor_seconds},
               {"interrupted", report.interrupted}};
  if (report.interrupted) {
    json["ended_requests"] = report.ended_count;
    json["given_up_requests"] = report.given_up_count;
  }
  if (report.error_count > 0) json["first_error"] = report.first_error;
  if (report.next_token_with_cold.count > 0) {
    json["cold_requests"] = report.cold_count;
    json["cold_first_token_seconds"] = to_json(report.cold_first_token);
    json["next_token_seconds_without_cold"] = to_json(report.next_token_without);
    json["next_token_seconds_with_cold"] = to_json(report.next_token_with_cold);
    json["ran_out_of_adapters"] = report.ran_out_of_adapters;
  }
  return json;
}

std::vector<std::string> lines_of(const TrafficReport& report) {
  std::vector<std::string> lines = {
      fmt::format("output       {} tokens in {:.2f} s: {:.1f} tokens/s", report.output_tokens, report.seconds, report.tokens_per_second),
  };
  if (report.steady_tokens_per_second > 0) lines.push_back(fmt::format("steady       {:.1f} tokens/s", report.steady_tokens_per_second));
  lines.push_back(fmt::format("first token  {}", shown(report.first_token)));
  lines.push_back(fmt::format("next token   {}", shown(report.next_token)));
  lines.push_back(fmt::format("processor    {:.2f} s of this process", report.processor_seconds));
  if (report.next_token_with_cold.count > 0) {
    lines.push_back(fmt::format("cold         first token {}", shown(report.cold_first_token)));
    std::string growth;
    if (report.next_token_without.count > 0) {
      lines.push_back(fmt::format("  without    next token {}", shown(report.next_token_without)));
      growth = fmt::format(": {:+.1f} %", (report.next_token_with_cold.p50 / report.next_token_without.p50 - 1) * 100);
    }
    lines.push_back(fmt::format("  with       next token {}{}", shown(report.next_token_with_cold), growth));
  }
  if (report.ran_out_of_adapters) lines.emplace_back("cold         ended early: every adapter has been named");
  if (report.cached_tokens > 0) {
    lines.push_back(fmt::format("cached       {} prompt tokens were known already: choose another --seed", report.cached_tokens));
  }
  if (report.interrupted) {
    lines.push_back(fmt::format("interrupted  {} requests had ended, {} were given up", report.ended_count, report.given_up_count));
  }
  lines.push_back(fmt::format("errors       {}{}", report.error_count, report.error_count > 0 ? ", the first: " + report.first_error : ""));
  return lines;
}

}  // namespace slora::bench
