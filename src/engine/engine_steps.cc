// Steps of the engine's loop: from a plan to calls of ops, and from results to tokens.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "engine/engine_loop.h"

namespace slora {
namespace {

constexpr auto kWaitMax = std::chrono::milliseconds(50);

}  // namespace

void EngineLoop::submit(StepSlot& slot) {
  slot.submitted = clock_.now();
  find_sequences(slot.plan, slot.submitted);
  slot.builder.build(
      slot.plan, [this](AdapterId adapter) { return adapter_use_.view_of(adapter); },
      static_cast<std::size_t>(model_.first_model().limits().output_rows_max));
  ask_for_masks(slot.plan);
  slot.output_rows.prepare(slot.plan, span_sequences_);
  const StepSlot* const before = slots_.size() > 1 ? &slot_of(submitted_count_ + slots_.size() - 1) : nullptr;
  slot.submit(model_, masks_, before, [this] { beat(); });
  ++submitted_count_;
  pool_hidden(slot);
}

// Of the sequences that want an embedding. The engine takes these only where a step's hidden states lie in the host's memory until the
// next.
void EngineLoop::pool_hidden(const StepSlot& slot) {
  for (std::size_t i = 0; i < span_sequences_.size(); ++i) {
    LiveSequence& sequence = *span_sequences_[i];
    const Pooling pooling = sequence.request().pooling;
    if (pooling == Pooling::none) continue;
    const PlannedSpan& span = slot.plan.spans[i];
    const Tensor hidden = model_.first_model().hidden(std::ssize(slot.plan.tokens));
    sequence.pooled().add(pooling, span.position_begin, hidden.rows_from(slot.builder.row_begins()[i], span.token_count));
  }
}

// Looks up the sequence of each span of the plan, once for the whole step. Pointers into the map stay valid until the sequence ends.
void EngineLoop::find_sequences(const StepPlan& plan, Timestamp now) {
  span_sequences_.clear();
  for (const PlannedSpan& span : plan.spans) {
    LiveSequence& sequence = live_.at(span.sequence);
    sequence.note_step(now, vocab_size());
    span_sequences_.push_back(&sequence);
  }
}

void EngineLoop::collect(StepSlot& slot) {
  wait_for_results(slot);
  ++collected_count_;
  take_scores(slot);
  take_tokens(slot);
  const Timestamp now = clock_.now();
  result_.elapsed = now - std::max(slot.submitted, std::exchange(collected_, now));
  scheduler_->commit(slot.plan, result_, ended_);
  metrics_.update(scheduler_->stats(), slot.plan.tokens.size(), seconds(result_.elapsed));
}

// Waiting is no sign of life: a device that hangs must look stalled.
void EngineLoop::wait_for_results(StepSlot& slot) {
  while (!slot.wait(model_, kWaitMax)) continue;
}

// Waits until the device reads and writes nothing any more, whatever was submitted.
void EngineLoop::drain_steps() {
  Backend& backend = model_.backend();
  const Fence all = backend.mark();
  while (!backend.wait(all, kWaitMax)) continue;
  collected_count_ = submitted_count_;
}

// Prompt log-probabilities, for sequences that have not ended since the step was submitted.
void EngineLoop::take_scores(const StepSlot& slot) {
  std::span<const TokenResult> rest = slot.results().subspan(static_cast<std::size_t>(slot.plan.output_row_count));
  for (const PlannedSpan& span : slot.plan.spans) {
    if (span.scored_count == 0) continue;
    const auto count = static_cast<std::size_t>(span.scored_count);
    if (const auto live = live_.find(span.sequence); live != live_.end()) {
      scores_.clear();
      for (const TokenResult& result : rest.first(count)) {
        const std::span<const TokenLogprob> top = result.top_tokens();
        scores_.push_back({{result.id, result.logprob, {top.begin(), top.end()}}, result.rank});
      }
      live->second.take_scores(span.scored_begin, scores_);
    }
    rest = rest.subspan(count);
  }
}

// Fills result_ and the step's events. A sequence that has ended since the step was submitted gets no token.
void EngineLoop::take_tokens(const StepSlot& slot) {
  result_.rows.assign(static_cast<std::size_t>(slot.plan.output_row_count), RowResult{});
  followed_.clear();
  awaited_.clear();
  for (const PlannedSpan& span : slot.plan.spans) {
    if (span.output_row < 0) continue;
    const auto live = live_.find(span.sequence);
    if (live == live_.end()) continue;
    const auto row = static_cast<std::size_t>(span.output_row);
    live->second.note_collected();
    if (live->second.take_missing_mask()) {
      metrics_.row_was_suspended();
      suspend(live->second);
      result_.rows[row] = {-1, RowOutcome::suspended};
      continue;
    }
    take_token(live->second, slot.results()[row], event_of(live->second), row);
  }
  follow_tokens();
}

void EngineLoop::take_token(LiveSequence& sequence, const TokenResult& drawn, TokenEvent& event, std::size_t row) {
  RowResult& result = result_.rows[row];
  const bool is_first = sequence.output_count() == 0;
  bool is_finite = drawn.id >= 0;
  event.started = sequence.started();
  if (is_first) event.cached_tokens = scheduler_->cached_tokens(event.sequence);
  if (const AdapterVersion* adapter = sequence.request().adapter.get(); is_first && adapter != nullptr) {
    event.adapter_load_seconds = adapter_use_.load_seconds_since(adapter->id(), sequence.request().arrival);
  }
  if (is_first && sequence.wants_prompt_logprobs()) {
    std::optional<std::vector<PromptLogprob>> logprobs = sequence.take_prompt_logprobs();
    is_finite = is_finite && logprobs;
    if (is_finite) event.prompt_logprobs = std::move(*logprobs);
  }
  if (is_first && sequence.request().pooling != Pooling::none) {
    std::vector<float> embedding = sequence.pooled().take();
    is_finite = is_finite && std::ranges::all_of(embedding, [](float number) { return std::isfinite(number); });
    if (is_finite) event.embedding = std::move(embedding);
  }
  if (!is_finite) {
    event.error_code = "no_finite_logits";
    event.error_message =
        "The model's logits for this sequence are not all numbers (NaN or infinite): its weights, or the adapter's, do not fit.";
    result = {-1, RowOutcome::failed};
    return;
  }
  event.token = spare_tops_.token_of(drawn);
  const TokenId token = event.token.id;
  sequence.append(token);
  result = {token, RowOutcome::goes_on};
  if (sequence.ends_with(token))
    result.outcome = RowOutcome::stop;
  else if (sequence.mask() != nullptr)
    follow(sequence, row, token);
}

}  // namespace slora
