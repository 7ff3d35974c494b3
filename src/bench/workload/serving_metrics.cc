#include "bench/workload/serving_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string_view>

#include "base/check.h"

namespace slora::bench {
namespace {

std::string_view name_of(ServedEnd end) {
  switch (end) {
    case ServedEnd::completed:
      return "completed";
    case ServedEnd::aborted:
      return "aborted";
    case ServedEnd::failed:
      return "failed";
    case ServedEnd::unsent:
      return "unsent";
    case ServedEnd::abandoned:
      return "abandoned";
  }
  fail_check("expected a known end", std::source_location::current());
}

// Adds up requests of one trace, or of one client in it.
class Tally {
 public:
  Tally(const Trace& trace, const ServingOptions& options) : trace_seconds_(trace.seconds), options_(options) {}

  void add(const TraceRequest& request, const ServedRequest* served) {
    ++sums_.requests;
    const ServedEnd end = served == nullptr ? ServedEnd::abandoned : served->end;
    ++count_of(end);
    const bool may_attain = end == ServedEnd::completed || end == ServedEnd::abandoned;
    if (may_attain && served != nullptr && served->first_token >= 0) add_first_token(served->first_token - served->arrival);
    if (end == ServedEnd::completed) add_completed(request, *served);
  }

  ServingMetrics metrics() {
    ServingMetrics metrics = sums_;
    metrics.slo_seconds = options_.slo_seconds;
    const auto sent = static_cast<double>(std::max<std::size_t>(metrics.requests - metrics.unsent, 1));
    const auto completed = static_cast<double>(metrics.completed);
    if (trace_seconds_ > 0) metrics.offered_per_second = static_cast<double>(metrics.requests) / trace_seconds_;
    if (metrics.seconds > 0) {
      metrics.requests_per_second = completed / metrics.seconds;
      metrics.output_tokens_per_second = static_cast<double>(metrics.output_tokens) / metrics.seconds;
    }
    const double stripped_seconds = metrics.seconds - 2 * options_.strip_seconds;
    const double stripped = completed - 2 * std::floor(metrics.offered_per_second * options_.strip_seconds);
    if (stripped_seconds > 0 && stripped > 0) metrics.strip_requests_per_second = stripped / stripped_seconds;
    metrics.latency = time_stats_of(std::move(latency_));
    metrics.first_token = time_stats_of(std::move(first_token_));
    metrics.output_token = time_stats_of(std::move(output_token_));
    metrics.slo_attainment = static_cast<double>(attained_) / sent;
    metrics.satisfaction = satisfaction_ / sent;
    return metrics;
  }

 private:
  std::size_t& count_of(ServedEnd end) {
    switch (end) {
      case ServedEnd::completed:
        return sums_.completed;
      case ServedEnd::aborted:
        return sums_.aborted;
      case ServedEnd::failed:
        return sums_.failed;
      case ServedEnd::unsent:
        return sums_.unsent;
      case ServedEnd::abandoned:
        return sums_.abandoned;
    }
    fail_check("expected a known end", std::source_location::current());
  }

  void add_first_token(double seconds) {
    if (seconds >= options_.slo_seconds) return;
    ++attained_;
    satisfaction_ += 1 - seconds * seconds / (options_.slo_seconds * options_.slo_seconds);
  }

  void add_completed(const TraceRequest& request, const ServedRequest& served) {
    sums_.input_tokens += request.input_tokens;
    sums_.output_tokens += served.output_tokens;
    sums_.seconds = std::max(sums_.seconds, served.last_token);
    latency_.push_back(served.last_token - served.arrival);
    first_token_.push_back(served.first_token - served.arrival);
    if (served.output_tokens > 1) output_token_.push_back((served.last_token - served.first_token) / (served.output_tokens - 1));
  }

  const double trace_seconds_;
  const ServingOptions& options_;
  ServingMetrics sums_;  // the counts, and the end of the last request
  std::size_t attained_ = 0;
  double satisfaction_ = 0;
  std::vector<double> latency_, first_token_, output_token_;
};

// The outcome of each request of the trace; nullptr: none.
std::vector<const ServedRequest*> outcomes_of(const Trace& trace, std::span<const ServedRequest> served) {
  std::vector<const ServedRequest*> outcomes(trace.requests.size());
  for (const ServedRequest& request : served) {
    check(request.request >= 0 && static_cast<std::size_t>(request.request) < outcomes.size(),
          "expected outcomes of this trace's requests");
    outcomes[static_cast<std::size_t>(request.request)] = &request;
  }
  return outcomes;
}

std::string shown(const TimeStats& stats, double scale, std::string_view unit) {
  return fmt::format("mean {:.2f}, p50 {:.2f}, p90 {:.2f}, p99 {:.2f}, max {:.2f} {}", stats.mean * scale, stats.p50 * scale,
                     stats.p90 * scale, stats.p99 * scale, stats.max * scale, unit);
}

}  // namespace

TimeStats time_stats_of(std::vector<double> seconds) {
  if (seconds.empty()) return {};
  std::ranges::sort(seconds);
  const auto count = static_cast<double>(seconds.size());
  const auto at = [&](double percent) {
    const double rank = std::ceil(percent * count / 100);
    return seconds[static_cast<std::size_t>(std::max(rank, 1.0)) - 1];
  };
  return {seconds.size(), std::accumulate(seconds.begin(), seconds.end(), 0.0) / count, at(50), at(90), at(99), seconds.back()};
}

ServingMetrics serving_metrics_of(const Trace& trace, std::span<const ServedRequest> served, const ServingOptions& options) {
  const std::vector<const ServedRequest*> outcomes = outcomes_of(trace, served);
  Tally tally(trace, options);
  for (std::size_t i = 0; i < outcomes.size(); ++i) tally.add(trace.requests[i], outcomes[i]);
  return tally.metrics();
}

std::vector<ServingMetrics> metrics_by_client(const Trace& trace, std::span<const ServedRequest> served, const ServingOptions& options) {
  const std::vector<const ServedRequest*> outcomes = outcomes_of(trace, served);
  std::vector<Tally> tallies;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    const auto client = static_cast<std::size_t>(trace.requests[i].client);
    while (client >= tallies.size()) tallies.emplace_back(trace, options);
    tallies[client].add(trace.requests[i], outcomes[i]);
  }
  std::vector<ServingMetrics> metrics;
  for (Tally& tally : tallies) metrics.push_back(tally.metrics());
  return metrics;
}

Json to_json(const TimeStats& stats) {
  return {{"count", stats.count}, {"mean", stats.mean}, {"p50", stats.p50}, {"p90", stats.p90}, {"p99", stats.p99}, {"max", stats.max}};
}

Json to_json(const ServingMetrics& metrics) {
  return {{"requests", metrics.requests},
          {"completed", metrics.completed},
          {"aborted", metrics.aborted},
          {"failed", metrics.failed},
          {"unsent", metrics.unsent},
          {"abandoned", metrics.abandoned},
          {"input_tokens", metrics.input_tokens},
          {"output_tokens", metrics.output_tokens},
          {"seconds", metrics.seconds},
          {"offered_per_second", metrics.offered_per_second},
          {"requests_per_second", metrics.requests_per_second},
          {"strip_requests_per_second", metrics.strip_requests_per_second},
          {"output_tokens_per_second", metrics.output_tokens_per_second},
          {"latency_seconds", to_json(metrics.latency)},
          {"first_token_seconds", to_json(metrics.first_token)},
          {"output_token_seconds", to_json(metrics.output_token)},
          {"slo_seconds", metrics.slo_seconds},
          {"slo_attainment", metrics.slo_attainment},
          {"satisfaction", metrics.satisfaction}};
}

Json to_json(const ServedRequest& request) {
  return {{"request", request.request},         {"end", name_of(request.end)},      {"arrival", request.arrival},
          {"first_token", request.first_token}, {"last_token", request.last_token}, {"output_tokens", request.output_tokens}};
}

std::vector<std::string> lines_of(const ServingMetrics& metrics) {
  const std::string unsent = metrics.unsent > 0 ? fmt::format(", {} not sent", metrics.unsent) : "";
  const std::string abandoned = metrics.abandoned > 0 ? fmt::format(", {} abandoned", metrics.abandoned) : "";
  const std::string strip =
      metrics.strip_requests_per_second > 0 ? fmt::format("; without both ends {:.3f} requests/s", metrics.strip_requests_per_second) : "";
  std::vector<std::string> lines = {fmt::format("requests      {}: {} completed, {} aborted, {} failed{}{}", metrics.requests,
                                                metrics.completed, metrics.aborted, metrics.failed, unsent, abandoned),
                                    fmt::format("offered       {:.3f} requests/s", metrics.offered_per_second)};
  if (metrics.completed > 0) {
    lines.push_back(fmt::format("throughput    {:.3f} requests/s, {:.1f} output tokens/s over {:.1f} s{}", metrics.requests_per_second,
                                metrics.output_tokens_per_second, metrics.seconds, strip));
    lines.push_back(fmt::format("first token   {}", shown(metrics.first_token, 1, "s")));
    lines.push_back(fmt::format("latency       {}", shown(metrics.latency, 1, "s")));
    lines.push_back(fmt::format("output token  {}", shown(metrics.output_token, 1e3, "ms")));
  }
  lines.push_back(fmt::format("SLO of {:g} s   {:.1f} % attained, satisfaction {:.3f}", metrics.slo_seconds, 100 * metrics.slo_attainment,
                              metrics.satisfaction));
  return lines;
}

}  // namespace slora::bench
