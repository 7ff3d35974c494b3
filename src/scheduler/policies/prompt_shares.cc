#include "scheduler/policies/prompt_shares.h"

#include <algorithm>
#include <utility>

namespace slora {

void PromptShares::begin(const StepView& view, const StepDecision& decision) {
  prompts_.clear();
  next_ = 0;
  for (const std::size_t index : decision.running) add(view.running[index]);
  for (const SequenceView& sequence : view.preempted) add(sequence);
  std::int32_t count = 0;
  for (const std::size_t index : decision.queue) {
    if (++count > view.places) break;
    add(view.waiting[index]);
  }
}

void PromptShares::add(const SequenceView& sequence) {
  if (sequence.tokens_to_compute <= 1 || sequence.adapter_state != AdapterState::resident) return;
  prompts_.push_back({sequence.id, sequence.client, sequence.priority, sequence.tokens_to_compute});
}

std::int32_t PromptShares::share_of(const SequenceView& sequence, std::int32_t left, SharedAmong among) {
  if (sequence.tokens_to_compute <= left || left <= 0) return left;
  const std::size_t place = place_of(sequence.id);
  if (place == prompts_.size()) return left;
  const auto shares = [&](const Prompt& other) {
    if (among == SharedAmong::client) return other.client == sequence.client;
    return among == SharedAmong::all || other.priority == sequence.priority;
  };
  const auto own = prompts_.begin() + static_cast<std::ptrdiff_t>(place);
  const bool is_first = std::none_of(prompts_.begin(), own, shares);
  const std::int32_t yielded_max = is_first ? left / 2 : left - 1;
  std::int64_t yielded = 0, between = 0;  // a token for each of those that come before the shorter ones
  for (auto other = own + 1; other != prompts_.end() && yielded < yielded_max; ++other) {
    if (!shares(*other)) continue;
    if (other->tokens >= own->tokens) {
      ++between;
    } else {
      yielded += other->tokens + std::exchange(between, 0);
    }
  }
  return left - static_cast<std::int32_t>(std::min<std::int64_t>(yielded, yielded_max));
}

std::size_t PromptShares::place_of(SequenceId id) {
  for (std::size_t tried = 0; tried < prompts_.size(); ++tried) {
    if (next_ >= prompts_.size()) next_ = 0;
    if (prompts_[next_++].id == id) return next_ - 1;
  }
  return prompts_.size();
}

}  // namespace slora
