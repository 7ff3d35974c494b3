#include "api/request_metrics.h"

#include <array>

namespace slora {
namespace {

constexpr std::array kTokenSeconds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0};
constexpr std::array kRequestSeconds = {0.01, 0.02, 0.05, 0.1,  0.2,  0.3,  0.5,  0.8,   1.0,   1.5,  2.0,
                                        2.5,  5.0,  10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 240.0, 480.0};
constexpr std::array kTokens = {1.0,   2.0,    5.0,    10.0,   20.0,    50.0,    100.0,   200.0,
                                500.0, 1000.0, 2000.0, 5000.0, 10000.0, 20000.0, 50000.0, 100000.0};

}  // namespace

RequestMetrics::RequestMetrics(MetricsRegistry& registry, const std::string& model_name)
    : registry_(registry),
      labels_({{"model_name", model_name}}),
      prompt_tokens_(registry.counter("vllm:prompt_tokens_total", "Prompt tokens of sequences that produced a token.", labels_)),
      generation_tokens_(registry.counter("vllm:generation_tokens_total", "Tokens generated.", labels_)),
      unknown_fields_(
          registry.counter("slora_unknown_request_fields_total", "Request fields that were ignored because nobody knows them.")),
      time_to_first_token_(
          registry.histogram("vllm:time_to_first_token_seconds", "From a request's arrival to its first token.", kRequestSeconds, labels_)),
      inter_token_latency_(
          registry.histogram("vllm:inter_token_latency_seconds", "Between two tokens of one sequence.", kTokenSeconds, labels_)),
      time_per_output_token_(registry.histogram("vllm:request_time_per_output_token_seconds",
                                                "Mean time per token after the first, per sequence.", kTokenSeconds, labels_)),
      end_to_end_(
          registry.histogram("vllm:e2e_request_latency_seconds", "From a request's arrival to its last token.", kRequestSeconds, labels_)),
      queue_time_(
          registry.histogram("vllm:request_queue_time_seconds", "From a request's arrival to its first step.", kRequestSeconds, labels_)),
      prefill_time_(
          registry.histogram("vllm:request_prefill_time_seconds", "From the first step to the first token.", kRequestSeconds, labels_)),
      decode_time_(registry.histogram("vllm:request_decode_time_seconds", "From the first token to the last.", kRequestSeconds, labels_)),
      inference_time_(
          registry.histogram("vllm:request_inference_time_seconds", "From the first step to the last token.", kRequestSeconds, labels_)),
      request_prompt_tokens_(registry.histogram("vllm:request_prompt_tokens", "Prompt tokens per sequence.", kTokens, labels_)),
      request_generation_tokens_(registry.histogram("vllm:request_generation_tokens", "Generated tokens per sequence.", kTokens, labels_)) {
  for (const char* reason : {"stop", "length", "abort"}) success(reason);  // shown as 0 before the first
}

Counter& RequestMetrics::success(std::string_view reason) {
  MetricLabels labels = labels_;
  labels.emplace_back("finished_reason", reason);
  return registry_.counter("vllm:request_success_total", "Sequences that ended, by how.", labels);
}

RequestMetrics::Totals RequestMetrics::totals() const {
  std::uint64_t served = 0;
  for (const std::uint64_t count : end_to_end_.counts()) served += count;
  return {served, end_to_end_.sum(), prompt_tokens_.value(), generation_tokens_.value()};
}

void RequestMetrics::count_prompt(std::int64_t prompt_tokens) { prompt_tokens_.add(static_cast<std::uint64_t>(prompt_tokens)); }

void RequestMetrics::count_token(const Times& times, Timestamp now) {
  generation_tokens_.add();
  if (times.last_token == Timestamp{}) {
    time_to_first_token_.observe(seconds(now - times.arrival));
  } else {
    inter_token_latency_.observe(seconds(now - times.last_token));
  }
}

void RequestMetrics::count_end(const Times& times, std::int64_t prompt_tokens, std::int64_t completion_tokens, std::string_view reason) {
  success(reason).add();
  if (completion_tokens == 0) return;
  end_to_end_.observe(seconds(times.last_token - times.arrival));
  queue_time_.observe(seconds(times.started - times.arrival));
  prefill_time_.observe(seconds(times.first_token - times.started));
  inference_time_.observe(seconds(times.last_token - times.started));
  decode_time_.observe(seconds(times.last_token - times.first_token));
  if (completion_tokens > 1)
    time_per_output_token_.observe(seconds(times.last_token - times.first_token) / static_cast<double>(completion_tokens - 1));
  request_prompt_tokens_.observe(static_cast<double>(prompt_tokens));
  request_generation_tokens_.observe(static_cast<double>(completion_tokens));
}

}  // namespace slora
