#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bench/workload/served_request.h"
#include "bench/workload/trace.h"
#include "formats/json.h"

namespace slora::bench {

// Distribution of values in seconds; zeros when there are none. The p-th percentile is the least value that p percent of all do not exceed.
struct TimeStats {
  std::size_t count = 0;
  double mean = 0, p50 = 0, p90 = 0, p99 = 0, max = 0;
};

[[nodiscard]] TimeStats time_stats_of(std::vector<double> seconds);

struct ServingOptions {
  double slo_seconds = 6;  // S-LoRA's: a first token in less attains it
  // S-LoRA's "strip" throughput leaves out this much at the beginning and at the end, with the requests offered in it.
  double strip_seconds = 10;
};

// The figures of S-LoRA's evaluation (its paper's section 7 and benchmarks/run_exp.py), with percentiles, and with requests that were
// aborted or failed counted. Times are those of the clients.
struct ServingMetrics {
  double slo_seconds = 6;
  std::size_t requests = 0;  // all of the trace, however they ended
  std::size_t completed = 0, aborted = 0, failed = 0, unsent = 0, abandoned = 0;
  std::int64_t input_tokens = 0, output_tokens = 0;  // of completed requests

  double offered_per_second = 0;  // requests of the trace, over its duration
  double seconds = 0;             // from the start of the trace to the end of the last completed request, so with the drain after the trace
  double requests_per_second = 0;        // throughput: completed requests / seconds
  double strip_requests_per_second = 0;  // the same without both ends; 0 when nothing lies between them
  double output_tokens_per_second = 0;   // of completed requests

  // Of completed requests: to the last token, to the first token, and from the first to the last over the tokens in between.
  TimeStats latency, first_token, output_token;

  // Of all requests except unsent ones. A request that was aborted or failed contributes 0, whatever it had sent.
  double slo_attainment = 0;  // share with a first token in less than slo_seconds
  double satisfaction = 0;    // mean of 1 - (t / slo_seconds)^2 for a first token after t < slo_seconds, else 0
};

// Requires: outcomes name requests of the trace. Requests without an outcome count as abandoned.
[[nodiscard]] ServingMetrics serving_metrics_of(const Trace& trace, std::span<const ServedRequest> served, const ServingOptions& options);
// The same for the requests of each client 0..highest; a client without requests has zeros.
[[nodiscard]] std::vector<ServingMetrics> metrics_by_client(const Trace& trace, std::span<const ServedRequest> served,
                                                            const ServingOptions& options);

[[nodiscard]] Json to_json(const TimeStats& stats);
[[nodiscard]] Json to_json(const ServingMetrics& metrics);
[[nodiscard]] Json to_json(const ServedRequest& request);
// The lines to print.
[[nodiscard]] std::vector<std::string> lines_of(const ServingMetrics& metrics);

}  // namespace slora::bench
