#include "engine/engine.h"

#include <algorithm>

#include "engine/engine_loop.h"

namespace slora {

Engine::Engine(const EngineOptions& options, ModelShards& model, AdapterStore& adapters, MetricsRegistry& metrics, PolicyMaker make_policy,
               EventSink sink)
    : options_(options),
      follows_priority_(make_policy()->follows_priority()),
      loop_(std::make_unique<EngineLoop>(options, model, adapters, metrics, std::move(make_policy), std::move(sink))) {}

Engine::~Engine() = default;

// The limits count all sequences from here to their end, so the scheduler's own queue never overflows.
Status Engine::submit(GenerationRequest request) {
  if (loop_->has_failed()) return error("engine_failed", "The engine has failed and computes no more.");
  if (draining_.load()) return error("draining", "The server is shutting down and takes no new requests.");
  const auto prompt_tokens = static_cast<std::int32_t>(request.prompt.size());
  const std::int32_t fitting = output_tokens_that_fit(prompt_tokens, request.adapter.get());
  if (request.prompt.empty()) return error("never_fits", "The prompt is empty: expected at least one token.");
  if (request.output_tokens_max < 1 || request.output_tokens_max > fitting) {
    return error("never_fits", "{} prompt tokens and {} output tokens were requested; at most {} output tokens fit after this prompt.",
                 prompt_tokens, request.output_tokens_max, std::max(fitting, 0));
  }
  const std::int32_t vocabulary = loop_->vocab_size() + (request.adapter == nullptr ? 0 : request.adapter->traits().added_tokens);
  const auto in_vocabulary = [&](TokenId token) { return token >= 0 && token < vocabulary; };
  if (!std::ranges::all_of(request.prompt, in_vocabulary)) {
    return error("bad_token", "The prompt holds a token id outside of the vocabulary: expected 0 to {}.", vocabulary - 1);
  }
  const SamplingParams& sampling = request.sampling;
  if (std::max(sampling.logprob_count, sampling.prompt_logprob_count) > kTopTokensMax) {
    return error("too_many_logprobs", "Log-probabilities of more of the most likely tokens were requested than the engine gives: {}.",
                 kTopTokensMax);
  }
  if (request.pooling != Pooling::none && !loop_->gives_hidden()) {
    return error("no_embeddings", "This backend gives no embeddings; start the server with --backend cpu for them.");
  }
  Result<LiveLimits::Place> place = loop_->limits().try_take(request.client, request.prompt.size());
  if (!place) return forward_error(place);
  std::shared_ptr<TokenMask> mask;
  if (request.constraint != nullptr) {
    loop_->masks().start();
    const std::size_t word_count = (static_cast<std::size_t>(loop_->vocab_size()) + 31) / 32;
    mask = std::make_shared<TokenMask>(request.constraint->start(), word_count, request.client);
  }
  loop_->inbox().submit({std::move(request), std::move(*place), std::move(mask)});
  return {};
}

Status Engine::check_queue(ClientId client, const QueueDemand& demand) const { return loop_->limits().check(client, demand); }

void Engine::cancel(SequenceId id) { loop_->inbox().cancel(id); }

void Engine::clear_caches(std::function<void(bool)> on_done) { loop_->inbox().clear_caches(std::move(on_done)); }

void Engine::pin_adapter(std::string name, std::function<void(Status)> on_done) {
  loop_->inbox().command({std::move(name), EngineCommand::Kind::pin, std::move(on_done)});
}

void Engine::unpin_adapter(std::string name, std::function<void(Status)> on_done) {
  loop_->inbox().command({std::move(name), EngineCommand::Kind::unpin, std::move(on_done)});
}

void Engine::note_idle_time(std::string name, std::function<void(Status)> on_done) {
  loop_->inbox().command({std::move(name), EngineCommand::Kind::idle_time, std::move(on_done)});
}

void Engine::look_at_pages(std::function<void(const PagePool*)> look) { loop_->inbox().look_at_pages(std::move(look)); }

bool Engine::wait_for_threads(std::chrono::milliseconds limit) { return loop_->wait_for_threads(limit); }

void Engine::pause(std::function<void(Status)> on_done) { loop_->inbox().command({{}, EngineCommand::Kind::pause, std::move(on_done)}); }

void Engine::resume(std::function<void(Status)> on_done) { loop_->inbox().command({{}, EngineCommand::Kind::resume, std::move(on_done)}); }

void Engine::begin_drain() {
  draining_.store(true);
  resume([](const Status&) {});
}

std::int32_t Engine::output_tokens_that_fit(std::int32_t prompt_tokens, const AdapterVersion* adapter) const {
  const std::uint32_t own = adapter == nullptr ? 0 : adapter->pages_in_all();
  const std::uint32_t pinned = loop_->stats().scheduler.pages_pinned;
  const std::uint32_t others = adapter != nullptr && adapter->is_pinned() ? pinned - std::min(own, pinned) : pinned;
  const std::int64_t pool = tokens_that_fit(options_.scheduler, own, others);
  return static_cast<std::int32_t>(std::min<std::int64_t>(pool, context_of(adapter)) - prompt_tokens);
}

std::int32_t Engine::context_of(const AdapterVersion* adapter) const {
  const std::int32_t own = adapter == nullptr ? 0 : adapter->traits().context_tokens_max;
  return own > 0 ? own : options_.max_model_len;
}

EmbeddingSupport Engine::embeddings() const { return {loop_->gives_hidden(), options_.pooling, loop_->model_config().hidden_size}; }

EngineStats Engine::stats() const { return loop_->stats(); }

std::uint64_t Engine::progress() const { return loop_->progress(); }

std::optional<Error> Engine::failure() const { return loop_->failure(); }

}  // namespace slora
