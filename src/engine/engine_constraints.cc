// Sequences whose answers have a form: when their masks are computed, and how they go on when these take longer than a step.
#include <algorithm>
#include <chrono>
#include <utility>

#include "engine/engine_loop.h"

namespace slora {
namespace {

constexpr auto kAcceptWait = std::chrono::milliseconds(2);  // of all rows of a step together

}  // namespace

// Masks that nobody computes yet: of first tokens. The others were asked for when the token before was known.
void EngineLoop::ask_for_masks(const StepPlan& plan) {
  for (std::size_t i = 0; i < plan.spans.size(); ++i) {
    const std::shared_ptr<TokenMask>& mask = span_sequences_[i]->mask();
    if (plan.spans[i].output_row >= 0 && mask != nullptr && mask->state() == TokenMask::State::unknown) masks_.ask(mask);
  }
}

// Gives the token in this row to the constraint of its sequence. What it means for the sequence follow_tokens() says.
void EngineLoop::follow(LiveSequence& sequence, std::size_t row, TokenId token) {
  const std::shared_ptr<TokenMask>& mask = sequence.mask();
  if (mask->accepts_quickly()) awaited_.push_back(mask.get());
  followed_.push_back({row, &sequence});
  masks_.accept(mask, token);
}

// All of the step, so that their constraints take the tokens at the same time.
void EngineLoop::follow_tokens() {
  if (followed_.empty()) return;
  masks_.wait(awaited_, kAcceptWait);
  for (const FollowedRow& followed : followed_) result_.rows[followed.row].outcome = outcome_of(*followed.sequence);
}

RowOutcome EngineLoop::outcome_of(const LiveSequence& sequence) {
  const std::shared_ptr<TokenMask>& mask = sequence.mask();
  switch (mask->state()) {
    case TokenMask::State::complete:
      return RowOutcome::complete;
    case TokenMask::State::unknown:
      if (sequence.output_count() < sequence.request().output_tokens_max) masks_.ask(mask);
      return RowOutcome::goes_on;
    default:  // the constraint takes long, or has failed
      suspend(sequence);
      return RowOutcome::suspended;
  }
}

void EngineLoop::suspend(const LiveSequence& sequence) {
  suspended_.push_back(sequence.request().id);
  masks_.watch(*sequence.mask());
}

// Sequences whose masks have come go on, and those whose masks will not come end.
void EngineLoop::resume_suspended() {
  const Timestamp now = clock_.now();
  masks_.replace_slow_threads(now);
  std::erase_if(suspended_, [&](SequenceId id) {
    const auto live = live_.find(id);
    return live == live_.end() || try_resume(live->second, now);
  });
}

bool EngineLoop::try_resume(LiveSequence& sequence, Timestamp now) {
  const TokenMask& mask = *sequence.mask();
  const SequenceId id = sequence.request().id;
  switch (mask.state()) {
    case TokenMask::State::asked:
      if (!masks_.has_overrun(mask, now)) return false;
      fail_constrained(sequence,
                       {"constraints_busy", "Forms of other answers take all threads that may follow this one; try again later.", {}});
      return true;
    case TokenMask::State::computing:
      if (!masks_.has_overrun(mask, now)) return false;
      fail_constrained(sequence, {"constraint_too_costly", "The form of the answer takes too long to follow: it needs to be simpler.", {}});
      return true;
    case TokenMask::State::failed:
      fail_constrained(sequence, mask.error());
      return true;
    case TokenMask::State::complete:
      scheduler_->resume(id, RowOutcome::complete);
      return true;
    case TokenMask::State::unknown:
    case TokenMask::State::known:
      scheduler_->resume(id, RowOutcome::goes_on);
      return true;
  }
  return true;
}

void EngineLoop::fail_constrained(LiveSequence& sequence, const Error& why) {
  TokenEvent& event = event_of(sequence);
  event.error_code = why.code;
  event.error_message = why.message;
  scheduler_->resume(sequence.request().id, RowOutcome::failed);
}

}  // namespace slora
