#include "bench/workload/workload.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <utility>

#include "base/check.h"
#include "bench/workload/distributions.h"

namespace slora::bench {
namespace {

constexpr std::array<std::pair<WorkloadKind, std::string_view>, 4> kKinds = {{{WorkloadKind::per_adapter, "per-adapter"},
                                                                              {WorkloadKind::zipf, "zipf"},
                                                                              {WorkloadKind::uniform, "uniform"},
                                                                              {WorkloadKind::slora_release, "slora-release"}}};
constexpr double kAlphaMax = 100, kCvMin = 0.01, kCvMax = 100;

Status check_number(std::string_view name, double value, double min, double max) {
  if (value >= min && value <= max) return {};
  return error("E_WORKLOAD", "{}: expected a number from {} to {}, found {}", name, min, max, value);
}

Status check_range(std::string_view name, const LengthRange& range, WorkloadKind kind) {
  const std::int32_t above = kind == WorkloadKind::slora_release ? 1 : 0;  // its upper end is not drawn
  if (range.min >= 1 && range.max <= kTraceTokensMax && range.min + above <= range.max) return {};
  return error("E_WORKLOAD", "{}: expected 1 <= min {} max <= {}, found {} and {}", name, above > 0 ? "<" : "<=", kTraceTokensMax,
               range.min, range.max);
}

Status check_options(const WorkloadOptions& options) {
  const bool is_release = options.kind == WorkloadKind::slora_release;
  for (const Status& status :
       {check_number("adapters", options.adapter_count, 0, kTraceAdaptersMax),
        check_number("alpha", options.alpha, is_release ? 0.01 : 0, kAlphaMax), check_number("rate", options.rate, 1e-6, 1e6),
        check_number("cv", options.cv, kCvMin, kCvMax), check_number("seconds", options.seconds, 1e-3, 1e7),
        check_range("input tokens", options.input_tokens, options.kind),
        check_range("output tokens", options.output_tokens, options.kind)}) {
    if (!status) return status;
  }
  for (const double weight : options.client_weights) {
    if (Status status = check_number("clients", weight, 1e-6, 1e6); !status) return status;
  }
  if (options.rate * options.seconds <= kTraceRequestsMax) return {};
  return error("E_WORKLOAD", "rate and seconds: expected at most {} requests, found {}", kTraceRequestsMax, options.rate * options.seconds);
}

// Numbers for one process of one client, independent of all others.
RandomNumbers stream_of(const WorkloadOptions& options, std::int32_t client, std::int32_t process) {
  const std::uint64_t of_seed = RandomNumbers(options.seed).next();
  const std::uint64_t of_client = RandomNumbers(of_seed + static_cast<std::uint64_t>(client)).next();
  return RandomNumbers(RandomNumbers(of_client + static_cast<std::uint64_t>(process)).next());
}

TraceRequest draw_request(RandomNumbers& random, const WorkloadOptions& options, double arrival, std::int32_t client) {
  const std::int32_t excluded = options.kind == WorkloadKind::slora_release ? 1 : 0;
  TraceRequest request;
  request.arrival = arrival;
  request.client = client;
  request.input_tokens = draw_between(random, options.input_tokens.min, options.input_tokens.max - excluded);
  request.output_tokens = draw_between(random, options.output_tokens.min, options.output_tokens.max - excluded);
  return request;
}

// Appends the requests of one client.
class ClientRequests {
 public:
  ClientRequests(std::vector<TraceRequest>& requests, const WorkloadOptions& options, std::int32_t client, double rate)
      : requests_(requests), options_(options), client_(client), rate_(rate) {}

  void append() {
    const std::int32_t count = options_.adapter_count;
    if (options_.kind == WorkloadKind::slora_release) return append_as_released();
    if (options_.kind == WorkloadKind::per_adapter && count > 0) return append_each(power_law_shares(count, options_.alpha));
    if (count == 0) return append_process(0, rate_, [](RandomNumbers&) { return -1; });
    const ShareTable table(power_law_shares(count, options_.kind == WorkloadKind::uniform ? 0 : options_.alpha));
    append_process(0, rate_, [&](RandomNumbers& random) { return table.draw(random); });
  }

 private:
  void append_each(const std::vector<double>& shares) {
    for (std::size_t i = 0; i < shares.size(); ++i) {
      const auto adapter = static_cast<std::int32_t>(i);
      if (rate_ * shares[i] > 0) append_process(adapter, rate_ * shares[i], [&](RandomNumbers&) { return adapter; });
    }
  }

  template <class DrawAdapter>
  void append_process(std::int32_t process, double rate, const DrawAdapter& draw_adapter) {
    RandomNumbers random = stream_of(options_, client_, process);
    const GammaArrivals arrivals(rate, options_.cv);
    for (double at = arrivals.draw_first(random); at < options_.seconds; at += arrivals.draw_interval(random)) {
      TraceRequest& request = requests_.emplace_back(draw_request(random, options_, at, client_));
      request.adapter = draw_adapter(random);
    }
  }

  void append_as_released() {
    RandomNumbers random = stream_of(options_, client_, 0);
    const GammaArrivals arrivals(rate_, options_.cv);
    double at = 0;
    for (auto left = static_cast<std::int64_t>(rate_ * options_.seconds); left > 0; --left) {
      TraceRequest& request = requests_.emplace_back(draw_request(random, options_, at += arrivals.draw_interval(random), client_));
      const double position = draw_power(random, options_.alpha) * options_.adapter_count;
      request.adapter = std::min(static_cast<std::int32_t>(position), options_.adapter_count - 1);
    }
  }

  std::vector<TraceRequest>& requests_;
  const WorkloadOptions& options_;
  const std::int32_t client_;
  const double rate_;
};

}  // namespace

std::string_view name_of(WorkloadKind kind) {
  const auto* const found = std::ranges::find(kKinds, kind, &std::pair<WorkloadKind, std::string_view>::first);
  check(found != kKinds.end(), "expected a known kind of workload");
  return found->second;
}

Result<WorkloadKind> workload_kind_of(std::string_view name) {
  const auto* const found = std::ranges::find(kKinds, name, &std::pair<WorkloadKind, std::string_view>::second);
  if (found != kKinds.end()) return found->first;
  return error("E_WORKLOAD", "workload: expected per-adapter, zipf, uniform or slora-release, found {}", name);
}

Result<Trace> make_workload(const WorkloadOptions& options) {
  if (Status status = check_options(options); !status) return forward_error(status);
  Trace trace;
  trace.adapter_count = options.adapter_count;
  const std::vector<double> weights = options.client_weights.empty() ? std::vector<double>{1} : options.client_weights;
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    ClientRequests(trace.requests, options, static_cast<std::int32_t>(i), options.rate * weights[i] / sum).append();
  }
  std::ranges::stable_sort(trace.requests, {}, &TraceRequest::arrival);
  trace.seconds = options.seconds;
  if (!trace.requests.empty()) trace.seconds = std::max(trace.seconds, trace.requests.back().arrival);
  return trace;
}

Json to_json(const WorkloadOptions& options) {
  const auto range = [](const LengthRange& lengths) { return Json{lengths.min, lengths.max}; };
  Json json = {{"workload", name_of(options.kind)},
               {"adapters", options.adapter_count},
               {"alpha", options.alpha},
               {"rate", options.rate},
               {"cv", options.cv},
               {"seconds", options.seconds},
               {"input_tokens", range(options.input_tokens)},
               {"output_tokens", range(options.output_tokens)},
               {"seed", options.seed}};
  if (!options.client_weights.empty()) json["clients"] = options.client_weights;
  return json;
}

}  // namespace slora::bench
