#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "metrics/metrics.h"

namespace slora {

// Latencies and counts as clients experience them, under the names that vLLM's dashboards and load tests read. Any thread.
class RequestMetrics {
 public:
  // `registry` outlives it.
  RequestMetrics(MetricsRegistry& registry, const std::string& model_name);

  // One sequence's times, as the job that serves it keeps them. Zero: not reached.
  struct Times {
    Timestamp arrival{}, started{}, first_token{}, last_token{};
  };
  void count_prompt(std::int64_t prompt_tokens);
  // A token came at `now`; `times` is as it was before.
  void count_token(const Times& times, Timestamp now);
  // `reason`: "stop", "length" or "abort".
  void count_end(const Times& times, std::int64_t prompt_tokens, std::int64_t completion_tokens, std::string_view reason);
  // Since the start.
  struct Totals {
    std::uint64_t served = 0;  // sequences that produced a token and ended, however
    double seconds = 0;        // of these together, from the request's arrival to the last token
    std::uint64_t prompt_tokens = 0, output_tokens = 0;
  };
  [[nodiscard]] Totals totals() const;
  // See the metrics of these names.
  struct Latencies {
    const Histogram &time_to_first_token, &inter_token, &queue_time;
  };
  [[nodiscard]] Latencies latencies() const { return {time_to_first_token_, inter_token_latency_, queue_time_}; }
  void count_unknown_fields(std::size_t count) { unknown_fields_.add(count); }

 private:
  Counter& success(std::string_view reason);

  MetricsRegistry& registry_;
  const MetricLabels labels_;
  Counter &prompt_tokens_, &generation_tokens_, &unknown_fields_;
  Histogram &time_to_first_token_, &inter_token_latency_, &time_per_output_token_, &end_to_end_;
  Histogram &queue_time_, &prefill_time_, &decode_time_, &inference_time_;
  Histogram &request_prompt_tokens_, &request_generation_tokens_;
};

}  // namespace slora
