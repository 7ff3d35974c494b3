#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>

#include "scheduler/policies/fair_share.h"
#include "scheduler/policy.h"
#include "scheduler/testing/expected_credits.h"

namespace slora {

// For tests: measures from charges and views alone whether FairSharePolicy keeps its bound. Two clients that wait all the time get service
// whose costs, each divided by its client's weight, differ by at most 2 U and the credit with which the one that got more began to wait. U
// is the largest cost that was outstanding for what one client had admitted: prompts, output, what preemption lost, and the tokens and
// adapter pages of one step.
class FairnessCheck {
 public:
  FairnessCheck(ClientWeights weights, double credit_max, std::int32_t step_tokens_max)
      : weights_(std::move(weights)), step_tokens_max_(step_tokens_max), credits_(credit_max) {}

  void note(std::span<const ServiceCharge> charges);
  // Called with every view, after its charges and before compare(): whether the policy's counters are the expected ones.
  [[nodiscard]] std::string compare_counters(const FairSharePolicy& policy) const;
  // Called with every view, after its charges. What is wrong, or nothing.
  [[nodiscard]] std::string compare(const StepView& view);

  // Called with every decision, after compare(): a step is only limited when several clients have come, never to less than a part of what
  // it may be, and never to less than what clients are owed that got less than the one that got most. What is wrong, or nothing.
  [[nodiscard]] std::string compare_limit(const StepView& view, const StepDecision& decision) const;

  // The largest difference so far beyond credits, in U. The bound is 2.
  [[nodiscard]] double worst() const { return worst_; }

 private:
  struct Pair {
    double first_served, second_served;  // when both began to wait
    double first_credit, second_credit;  // likewise
    bool waits = false;
  };
  [[nodiscard]] double weight_of(ClientId client) const;
  [[nodiscard]] double cost_of(const ServiceCharge& charge) const;  // by weight
  void note_outstanding(const StepView& view);

  const ClientWeights weights_;
  const std::int32_t step_tokens_max_;
  ExpectedCredits credits_;
  std::map<ClientId, double> served_;                    // cost by weight
  std::map<std::pair<ClientId, ClientId>, Pair> pairs_;  // of clients that wait
  double load_cost_max_ = 0;                             // of one step
  double outstanding_max_ = 0, worst_ = 0;
};

}  // namespace slora
