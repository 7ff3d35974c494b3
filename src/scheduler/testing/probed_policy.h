#pragma once
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include "scheduler/policy.h"

namespace slora {

// For tests: forwards to another policy and reports what that one is shown and charged, and decides.
class ProbedPolicy final : public Policy {
 public:
  using OnCharges = std::function<void(std::span<const ServiceCharge>)>;
  using OnView = std::function<void(const StepView&)>;
  using OnDecision = std::function<void(const StepView&, const StepDecision&)>;

  ProbedPolicy(std::unique_ptr<Policy> policy, OnCharges on_charges, OnView on_view, OnDecision on_decision)
      : policy_(std::move(policy)),
        on_charges_(std::move(on_charges)),
        on_view_(std::move(on_view)),
        on_decision_(std::move(on_decision)) {}

  [[nodiscard]] bool follows_priority() const override { return policy_->follows_priority(); }
  [[nodiscard]] bool reads_cached_tokens() const override { return policy_->reads_cached_tokens(); }
  [[nodiscard]] Error given_up_error() const override { return policy_->given_up_error(); }
  void charge(std::span<const ServiceCharge> charges) override {
    on_charges_(charges);
    policy_->charge(charges);
  }
  void decide(const StepView& view, StepDecision& decision) override {
    on_view_(view);
    policy_->decide(view, decision);
    on_decision_(view, decision);
  }
  [[nodiscard]] std::int32_t prompt_tokens(const SequenceView& sequence, std::int32_t left) override {
    return policy_->prompt_tokens(sequence, left);
  }

 private:
  const std::unique_ptr<Policy> policy_;
  const OnCharges on_charges_;
  const OnView on_view_;
  const OnDecision on_decision_;
};

}  // namespace slora
