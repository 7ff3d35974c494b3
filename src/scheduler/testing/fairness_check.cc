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
    credits_.note_cost(charge.client, cost_of(charge));
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

std::string FairnessCheck::compare_counters(const FairSharePolicy& policy) const {
  for (const auto& [id, client] : credits_.clients()) {
    const double found = policy.served(id), expected = client.position;
    if (std::abs(found - expected) > 1e-9 * (1 + std::abs(expected)))
      return fmt::format("client {}: its counter is {:.1f} where its charges and credits give {:.1f}", id.value, found, expected);
  }
  return {};
}

std::string FairnessCheck::compare(const StepView& view) {
  note_outstanding(view);
  std::set<ClientId> waiting;
  for (const SequenceView& sequence : view.waiting) waiting.insert(sequence.client);
  credits_.note_waiting(waiting);
  for (auto& [clients, pair] : pairs_) pair.waits = false;
  for (const ClientId first : waiting) {
    for (const ClientId second : waiting) {
      if (first >= second) continue;
      const Pair begun{served_[first], served_[second], credits_.credit_of(first), credits_.credit_of(second)};
      pairs_.try_emplace({first, second}, begun).first->second.waits = true;
    }
  }
  std::erase_if(pairs_, [](const auto& entry) { return !entry.second.waits; });
  for (const auto& [clients, pair] : pairs_) {
    const double ahead = (served_[clients.first] - pair.first_served) - (served_[clients.second] - pair.second_served);
    const double credit = ahead > 0 ? pair.first_credit : pair.second_credit;
    const double difference = std::abs(ahead) - credit;
    worst_ = std::max(worst_, difference / outstanding_max_);
    if (difference > 2 * outstanding_max_) {
      return fmt::format(
          "clients {} and {}: what they got while both waited differs by {:.1f}, more than twice {:.1f} and a credit of {:.1f}",
          clients.first.value, clients.second.value, std::abs(ahead), outstanding_max_, credit);
    }
  }
  return {};
}

std::string FairnessCheck::compare_limit(const StepView& view, const StepDecision& decision) const {
  if (decision.prompt_tokens_max >= view.prompt_tokens_max) return {};
  const auto has_come = [](const auto& entry) { return entry.second.has_waited; };
  if (std::ranges::count_if(credits_.clients(), has_come) < 2)
    return fmt::format("a step of the only client is limited to {} tokens", decision.prompt_tokens_max);
  std::map<ClientId, double> demands;
  for (const std::span<const SequenceView> list : {view.running, view.preempted, view.waiting}) {
    for (const SequenceView& sequence : list)
      if (sequence.tokens_to_compute > 1 && sequence.adapter_state == AdapterState::resident)
        demands[sequence.client] += sequence.tokens_to_compute;
  }
  double most = 0, owed = 0;
  for (const auto& [client, demand] : demands) most = std::max(most, credits_.clients().at(client).position);
  for (const auto& [client, demand] : demands)
    owed += std::min(demand, (most - credits_.clients().at(client).position) * weight_of(client) / FairSharePolicy::kPromptCost);
  const double least =
      std::max(std::floor(owed * (1 - 1e-9)), static_cast<double>(view.prompt_tokens_max / FairSharePolicy::kSharedStepPart));
  if (decision.prompt_tokens_max >= least) return {};
  return fmt::format("a step is limited to {} tokens, less than the {} that it should have at least", decision.prompt_tokens_max, least);
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
