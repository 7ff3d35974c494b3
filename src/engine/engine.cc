#include "engine/engine.h"

#include <algorithm>

#include "engine/engine_loop.h"

namespace slora {

Engine::Engine(const EngineOptions& options, Model& model, PageArena& arena, AdapterStore& adapters, MetricsRegistry& metrics, EventSink sink)
    : options_(options), loop_(std::make_unique<EngineLoop>(options, model, arena, adapters, metrics, std::move(sink))) {}

Engine::~Engine() = default;

// The bounds hold for everything that was accepted and has not ended, so the scheduler's own queue can't overflow.
Status Engine::submit(GenerationRequest request) {
  if (draining_.load()) return error("draining", "The server is shutting down and takes no new requests.");
  const auto prompt_tokens = static_cast<std::int32_t>(request.prompt.size());
  const std::int32_t fitting = output_tokens_that_fit(prompt_tokens, request.adapter.get());
  if (request.prompt.empty()) return error("never_fits", "The prompt is empty: expected at least one token.");
  if (request.output_tokens_max < 1 || request.output_tokens_max > fitting) {
    return error("never_fits", "{} prompt tokens and {} output tokens were asked for; at most {} output tokens fit beside this prompt.", prompt_tokens,
                 request.output_tokens_max, std::max(fitting, 0));
  }
  const SchedulerOptions& limits = options_.scheduler;
  const std::size_t tokens = request.prompt.size();
  if (loop_->live_count.fetch_add(1) >= limits.waiting_max) {
    loop_->live_count.fetch_sub(1);
    return error("queue_full", "{} sequences are running or waiting, which is the limit; try again later.", limits.waiting_max);
  }
  if (loop_->live_tokens.fetch_add(tokens) + tokens > limits.waiting_tokens_max) {
    loop_->live_tokens.fetch_sub(tokens);
    loop_->live_count.fetch_sub(1);
    return error("queue_full", "The prompts that are running or waiting hold {} tokens, which is the limit; try again later.", limits.waiting_tokens_max);
  }
  loop_->inbox().submit(std::move(request));
  return {};
}

void Engine::cancel(SequenceId id) { loop_->inbox().cancel(id); }

void Engine::begin_drain() { draining_.store(true); }

bool Engine::drained() const { return draining_.load() && loop_->live_count.load() == 0; }

std::int32_t Engine::output_tokens_that_fit(std::int32_t prompt_tokens, const AdapterVersion* adapter) const {
  const std::int64_t pool = tokens_that_fit(options_.scheduler, adapter == nullptr ? 0 : adapter->page_count());
  return static_cast<std::int32_t>(std::min<std::int64_t>(pool, options_.max_model_len) - prompt_tokens);
}

EngineStats Engine::stats() const { return loop_->stats(); }

Timestamp Engine::heartbeat_age() const { return SteadyClock().now() - loop_->heartbeat(); }

}  // namespace slora
