#include "engine/engine_metrics.h"

#include <algorithm>
#include <array>

namespace slora {
namespace {

constexpr std::array<double, 12> kTokenBounds = {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192};
constexpr std::array<double, 10> kMaskBounds = {0.00001, 0.000025, 0.0001, 0.00025, 0.001, 0.0025, 0.01, 0.1, 0.5, 2};
constexpr std::array<double, 12> kSecondsBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10};

Gauge& pages(MetricsRegistry& registry, std::string_view owner) {
  return registry.gauge("slora_pool_pages", "Pages of the pool by owner.", {{"owner", std::string(owner)}});
}

}  // namespace

EngineMetrics::EngineMetrics(MetricsRegistry& registry, const std::string& model_name)
    : running_(registry.gauge("vllm:num_requests_running", "Sequences that take part in steps.", {{"model_name", model_name}})),
      waiting_(registry.gauge("vllm:num_requests_waiting", "Sequences that wait for free pages or for their adapter.",
                              {{"model_name", model_name}})),
      kv_usage_(registry.gauge("vllm:kv_cache_usage_perc", "Share of the pool that is in use and can't be evicted; 1 is full.",
                               {{"model_name", model_name}})),
      pages_free_(pages(registry, "free")),
      pages_sequence_(pages(registry, "sequence")),
      pages_prefix_(pages(registry, "prefix")),
      pages_adapter_(pages(registry, "adapter")),
      preemptions_(registry.counter("vllm:num_preemptions_total", "Sequences that gave up their pages and were computed again.",
                                    {{"model_name", model_name}})),
      given_up_(registry.counter("slora_given_up_total", "Waiting sequences that the policy gave up, as too late for their first token.")),
      prefix_queries_(registry.counter("vllm:prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.",
                                       {{"model_name", model_name}})),
      prefix_hits_(
          registry.counter("vllm:prefix_cache_hits_total", "Prompt tokens found in the prefix cache.", {{"model_name", model_name}})),
      adapter_loads_(registry.counter("slora_adapter_loads_total", "Adapter images brought into the pool.")),
      adapter_load_failures_(registry.counter("slora_adapter_load_failures_total", "Adapter loads that failed.")),
      adapter_evictions_(registry.counter("slora_adapter_evictions_total", "Adapter images that left the pool.")),
      prefix_evictions_(registry.counter("slora_prefix_evictions_total", "Cached prefix pages that left the pool.")),
      adapter_queries_(registry.counter("slora_adapter_queries_total", "Sequences with an adapter that were admitted.")),
      adapter_hits_(registry.counter("slora_adapter_hits_total", "Of these, those whose adapter was resident already.")),
      suspended_rows_(
          registry.counter("slora_constraint_suspended_rows_total",
                           "Rows that drew no token, because which tokens the form of the answer allows was not known in time.")),
      step_tokens_(registry.histogram("vllm:iteration_tokens_total", "Tokens of one step.", kTokenBounds, {{"model_name", model_name}})),
      step_seconds_(registry.histogram("slora_step_seconds", "Time of one step.", kSecondsBounds)),
      adapter_load_seconds_(
          registry.histogram("slora_adapter_load_seconds", "Time from planning an adapter load to its landing.", kSecondsBounds)),
      mask_seconds_(registry.histogram("slora_constraint_mask_seconds", "Time to find out which tokens the form of an answer allows next.",
                                       kMaskBounds)) {}

void EngineMetrics::update(const SchedulerStats& now, std::size_t step_tokens, double step_seconds) {
  running_.set(static_cast<double>(now.running));
  waiting_.set(static_cast<double>(now.waiting + now.loading));
  const std::uint32_t held = now.pages_total - now.pages_free - now.pages_evictable;
  kv_usage_.set(static_cast<double>(held) / static_cast<double>(std::max(now.pages_total, 1u)));
  pages_free_.set(now.pages_free);
  pages_sequence_.set(now.pages_sequence);
  pages_prefix_.set(now.pages_prefix);
  pages_adapter_.set(now.pages_adapter);
  preemptions_.add(now.preemptions - last_.preemptions);
  given_up_.add(now.given_up - last_.given_up);
  prefix_queries_.add(now.prefix_query_tokens - last_.prefix_query_tokens);
  prefix_hits_.add(now.prefix_hit_tokens - last_.prefix_hit_tokens);
  adapter_loads_.add(now.adapter_loads - last_.adapter_loads);
  adapter_evictions_.add(now.adapter_evictions - last_.adapter_evictions);
  prefix_evictions_.add(now.prefix_evictions - last_.prefix_evictions);
  adapter_queries_.add(now.adapter_queries - last_.adapter_queries);
  adapter_hits_.add(now.adapter_hits - last_.adapter_hits);
  last_ = now;
  if (step_tokens == 0) return;
  step_tokens_.observe(static_cast<double>(step_tokens));
  step_seconds_.observe(step_seconds);
}

}  // namespace slora
