#pragma once
#include <cstdint>
#include <unordered_map>

#include "scheduler/policy.h"

namespace slora {

// For tests: a policy that uses all that Policy offers. The client that was served least comes first, in the queue as among those
// running; of its sequences, those whose adapter is in the pool. It gives up who missed its deadline, passes over what does not fit,
// and gives each prompt of a step an equal share.
class LeastServedPolicy final : public Policy {
 public:
  void charge(std::span<const ServiceCharge> charges) override;
  void decide(const StepView& view, StepDecision& decision) override;
  [[nodiscard]] std::int32_t prompt_tokens(const SequenceView& sequence, std::int32_t left) override;

  // Prompt tokens, output tokens twice, recomputed tokens, and kAdapterPageCost for each page of an adapter loaded.
  [[nodiscard]] std::int64_t served(ClientId client) const;

 private:
  static constexpr std::int64_t kOutputCost = 2, kAdapterPageCost = 4;
  static constexpr std::int32_t kPassedOverMax = 4;

  std::unordered_map<ClientId, std::int64_t> served_;
  std::int32_t share_ = 1;  // prompt tokens of one sequence in this step
};

}  // namespace slora
