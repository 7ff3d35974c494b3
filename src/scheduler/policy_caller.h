#pragma once
#include <memory>
#include <span>
#include <vector>

#include "scheduler/policy.h"

namespace slora {

// Calls the policy and holds its decisions to the contract of policy.h. Keeps the buffers of charges and decision, so that a step allocates
// nothing once they have grown. Owned by the scheduler, on its thread.
class PolicyCaller {
 public:
  // `overtaken_max`: as SchedulerOptions.
  PolicyCaller(std::unique_ptr<Policy> policy, std::int32_t overtaken_max);

  [[nodiscard]] bool reads_cached_tokens() const { return reads_cached_tokens_; }
  [[nodiscard]] Error given_up_error() const { return policy_->given_up_error(); }
  // To be reported at the start of the next step.
  void add_charge(const ServiceCharge& charge) { charges_.push_back(charge); }
  void add_measured(const MeasuredStep& step) { measured_.push_back(step); }

  // Reports the charges, then asks. The result is complete: the oldest running sequence is in front; the queue begins with those that may
  // not be overtaken any more, lacks those given up, and ends with those left out if nothing runs. Valid until the next step.
  // `view.measured` is filled in.
  [[nodiscard]] const StepDecision& decide(StepView view);
  // Requires: least <= left.
  [[nodiscard]] std::int32_t prompt_tokens(const SequenceView& sequence, std::int32_t least, std::int32_t left);

 private:
  void mark(std::span<const std::size_t> indices);

  const std::unique_ptr<Policy> policy_;
  const std::int32_t overtaken_max_;
  const bool reads_cached_tokens_;
  std::vector<ServiceCharge> charges_;
  std::vector<MeasuredStep> measured_;
  StepDecision decision_;
  std::vector<unsigned char> marks_;  // [sequences of the list in question] which the decision names
  std::vector<std::size_t> first_;    // indices of those waiting that may not be overtaken any more and are not given up
};

}  // namespace slora
