#pragma once
#include "scheduler/policies/prompt_shares.h"
#include "scheduler/policy.h"

namespace slora {

// First come, first served, whatever the priorities. Gives up nobody, and prompts share a step's tokens as PromptShares says. Nothing
// overtakes the head of the line for pages, so it starts at the latest when the sequences that were running have ended.
class FcfsPolicy final : public Policy {
 public:
  void charge(std::span<const ServiceCharge> charges) override;
  void decide(const StepView& view, StepDecision& decision) override;
  [[nodiscard]] std::int32_t prompt_tokens(const SequenceView& sequence, std::int32_t left) override;

 private:
  PromptShares shares_;
};

}  // namespace slora
