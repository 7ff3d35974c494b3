#include "scheduler/testing/fairness_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace slora {

void FairnessCheck::note(std::span<const ServiceCharge> charges) {
  double load_cost = 0;
  for (const ServiceCharge& charge : charges) {
    served_[charge.client] += cost_of(charge);
    load_cost += FairSharePolicy::kAdapterPageCost * charge.adapter_pages;
  }
  load_cost_max_ = std::max(load_cost_max_, load_cost);
}

double FairnessCheck::cost_of(const ServiceCharge& charge) const {
  const double cost = FairSharePolicy::kPromptCost * charge.prompt_tokens + FairSharePolicy::kOutputCost * charge.output_tokens +
                      FairSharePolicy::kRecomputedCost * charge.recomputed_tokens +
                      FairSharePolicy::kAdapterPageCost * charge.adapter_pages;
  return cost / weight_of(charge.client);
}

void FairnessCheck::expect_counters(const FairSharePolicy& policy, std::span<const ServiceCharge> charges) {
  for (const ServiceCharge& charge : charges)
    counters_.try_emplace(charge.client, policy.served(charge.client)).first->second += cost_of(charge);
}

std::string FairnessCheck::compare_counters(const FairSharePolicy& policy) {
  std::string wrong;
  for (const auto& [client, expected] : counters_) {
    const double found = policy.served(client);
    if (wrong.empty() && std::abs(found - expected) > 1e-9 * (1 + expected))
      wrong = fmt::format("client {}: its counter is {:.1f} where the charges give {:.1f}", client.value, found, expected);
  }
  counters_.clear();
  return wrong;
}

std::string FairnessCheck::compare(const StepView& view) {
  note_outstanding(view);
  std::set<ClientId> waiting;
  for (const SequenceView& sequence : view.waiting) waiting.insert(sequence.client);
  for (auto& [clients, pair] : pairs_) pair.waits = false;
  for (const ClientId first : waiting) {
    for (const ClientId second : waiting) {
      if (first < second) pairs_.try_emplace({first, second}, Pair{served_[first], served_[second]}).first->second.waits = true;
    }
  }
  std::erase_if(pairs_, [](const auto& entry) { return !entry.second.waits; });
  for (const auto& [clients, pair] : pairs_) {
    const double difference = std::abs((served_[clients.first] - pair.first_served) - (served_[clients.second] - pair.second_served));
    worst_ = std::max(worst_, difference / outstanding_max_);
    if (difference > 2 * outstanding_max_) {
      return fmt::format("clients {} and {}: what they got while both waited differs by {:.1f}, more than twice {:.1f}",
                         clients.first.value, clients.second.value, difference, outstanding_max_);
    }
  }
  return {};
}

void FairnessCheck::note_outstanding(const StepView& view) {
  std::map<ClientId, double> admitted;
  for (const std::span<const SequenceView> list : {view.running, view.preempted}) {
    for (const SequenceView& sequence : list) {
      const double cost = FairSharePolicy::kPromptCost * sequence.tokens_to_compute +
                          FairSharePolicy::kOutputCost * (sequence.output_tokens_max - sequence.output_count);
      admitted[sequence.client] += cost / weight_of(sequence.client);
    }
  }
  double weight_min = 1;
  for (const auto& [client, weight] : weights_) weight_min = std::min(weight_min, weight);
  const double step_cost = (FairSharePolicy::kOutputCost * step_tokens_max_ + load_cost_max_) / weight_min;
  for (const auto& [client, cost] : admitted) outstanding_max_ = std::max(outstanding_max_, cost + step_cost);
  outstanding_max_ = std::max(outstanding_max_, step_cost);
}

double FairnessCheck::weight_of(ClientId client) const {
  const auto found = weights_.find(client);
  return found == weights_.end() ? 1 : found->second;
}

}  // namespace slora
