#pragma once
#include "scheduler/policies/prompt_shares.h"
#include "scheduler/policy.h"

namespace slora {

// By the request's priority, lower first, then by arrival; otherwise as FcfsPolicy. Any client may put its requests before those of
// others and delay them without bound, so it is for operators whose clients trust one another.
class PriorityPolicy final : public Policy {
 public:
  [[nodiscard]] bool follows_priority() const override { return true; }
  void charge(std::span<const ServiceCharge> charges) override;
  void decide(const StepView& view, StepDecision& decision) override;
  [[nodiscard]] std::int32_t prompt_tokens(const SequenceView& sequence, std::int32_t left) override;

 private:
  PromptShares shares_;
};

}  // namespace slora
