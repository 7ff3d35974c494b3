#include "scheduler/policies/priority.h"

#include <algorithm>

namespace slora {

void PriorityPolicy::charge(std::span<const ServiceCharge>) {}

void PriorityPolicy::decide(const StepView& view, StepDecision& decision) {
  const std::span<const SequenceView> waiting = view.waiting;  // sorted by arrival
  const auto is_served_earlier = [&](std::size_t a, std::size_t b) {
    return waiting[a].priority != waiting[b].priority ? waiting[a].priority < waiting[b].priority : a < b;
  };
  if (!std::ranges::is_sorted(decision.queue, is_served_earlier)) std::ranges::sort(decision.queue, is_served_earlier);
  shares_.begin(view, decision);
}

std::int32_t PriorityPolicy::prompt_tokens(const SequenceView& sequence, std::int32_t left) {
  return shares_.share_of(sequence, left, SharedAmong::priority);
}

}  // namespace slora
