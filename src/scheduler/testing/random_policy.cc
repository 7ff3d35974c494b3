#include "scheduler/testing/random_policy.h"

#include <utility>

namespace slora {

void RandomPolicy::charge(std::span<const ServiceCharge>) {}

void RandomPolicy::decide(const StepView& view, StepDecision& decision) {
  shuffle(decision.queue);
  if (random_.chance(0.3)) shuffle(decision.running);
  if (random_.chance(0.1)) decision.queue.resize(random_.below(decision.queue.size() + 1));
  if (!view.waiting.empty() && random_.chance(0.02)) decision.given_up.push_back(random_.below(view.waiting.size()));
  decision.places_kept = random_.chance(0.3) ? static_cast<std::int32_t>(random_.below(static_cast<std::uint64_t>(view.places) + 2)) : 0;
  if (random_.chance(0.3)) decision.prompt_tokens_max = static_cast<std::int32_t>(random_.between(0, view.prompt_tokens_max));
  decision.passed_over_max = static_cast<std::int32_t>(random_.below(4));
}

std::int32_t RandomPolicy::prompt_tokens(const SequenceView&, std::int32_t left) {
  if (random_.chance(0.1)) return 0;
  return random_.chance(0.5) ? left : static_cast<std::int32_t>(random_.between(0, left + 2));
}

void RandomPolicy::shuffle(std::vector<std::size_t>& order) {
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random_.below(i)]);
}

}  // namespace slora
