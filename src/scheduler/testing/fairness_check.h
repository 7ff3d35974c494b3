#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>

#include "scheduler/policies/fair_share.h"
#include "scheduler/policy.h"

namespace slora {

// For tests: measures from charges and views alone whether FairSharePolicy keeps its bound. Two clients that wait all the time get service
// whose costs, each divided by its client's weight, differ by at most 2 U, where U is the largest cost that was outstanding for what one
// client had admitted: prompts, output, what preemption lost, and the tokens and adapter pages of one step.
class FairnessCheck {
 public:
  FairnessCheck(ClientWeights weights, std::int32_t step_tokens_max) : weights_(std::move(weights)), step_tokens_max_(step_tokens_max) {}

  void note(std::span<const ServiceCharge> charges);
  // Keeps what the policy's counters must be once it has been charged; compare_counters() then says what is wrong, or nothing.
  void expect_counters(const FairSharePolicy& policy, std::span<const ServiceCharge> charges);
  [[nodiscard]] std::string compare_counters(const FairSharePolicy& policy);
  // Called with every view, after its charges. What is wrong, or nothing.
  [[nodiscard]] std::string compare(const StepView& view);

  // The largest difference so far, in U. The bound is 2.
  [[nodiscard]] double worst() const { return worst_; }

 private:
  struct Pair {
    double first_served, second_served;  // when both began to wait
    bool waits = false;
  };
  [[nodiscard]] double weight_of(ClientId client) const;
  [[nodiscard]] double cost_of(const ServiceCharge& charge) const;  // by weight
  void note_outstanding(const StepView& view);

  const ClientWeights weights_;
  const std::int32_t step_tokens_max_;
  std::map<ClientId, double> served_;                    // cost by weight
  std::map<ClientId, double> counters_;                  // expected of the policy
  std::map<std::pair<ClientId, ClientId>, Pair> pairs_;  // of clients that wait
  double load_cost_max_ = 0;                             // of one step
  double outstanding_max_ = 0, worst_ = 0;
};

}  // namespace slora
