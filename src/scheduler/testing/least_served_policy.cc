#include "scheduler/testing/least_served_policy.h"

#include <algorithm>
#include <tuple>

namespace slora {

void LeastServedPolicy::charge(std::span<const ServiceCharge> charges) {
  for (const ServiceCharge& charge : charges) {
    served_[charge.client] += charge.prompt_tokens + charge.recomputed_tokens + kOutputCost * charge.output_tokens +
                              kAdapterPageCost * static_cast<std::int64_t>(charge.adapter_pages);
  }
}

std::int64_t LeastServedPolicy::served(ClientId client) const {
  const auto found = served_.find(client);
  return found == served_.end() ? 0 : found->second;
}

void LeastServedPolicy::decide(const StepView& view, StepDecision& decision) {
  const auto rank = [&](std::span<const SequenceView> sequences, std::size_t index) {
    const SequenceView& sequence = sequences[index];
    return std::tuple(sequence.priority, served(sequence.client), sequence.adapter_state != AdapterState::resident, index);
  };
  std::ranges::sort(decision.queue, {}, [&](std::size_t index) { return rank(view.waiting, index); });
  std::ranges::sort(decision.running, {}, [&](std::size_t index) { return rank(view.running, index); });
  for (std::size_t i = 0; i < view.waiting.size(); ++i)
    if (view.waiting[i].deadline < view.now) decision.given_up.push_back(i);
  decision.passed_over_max = kPassedOverMax;

  const auto is_prompt = [](const SequenceView& sequence) { return sequence.tokens_to_compute > 1; };
  const auto prompt_count =
      std::ranges::count_if(view.running, is_prompt) + std::min(std::ssize(view.waiting), std::ptrdiff_t{kPassedOverMax});
  share_ = std::max(view.prompt_tokens_max / static_cast<std::int32_t>(std::max(prompt_count, std::ptrdiff_t{1})), 1);
}

std::int32_t LeastServedPolicy::prompt_tokens(const SequenceView&, std::int32_t left) { return std::min(share_, left); }

}  // namespace slora
