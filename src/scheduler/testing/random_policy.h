#pragma once
#include <cstdint>

#include "scheduler/policy.h"
#include "scheduler/testing/simulated_device.h"

namespace slora {

// For tests: decides anything that a policy may, at random. The scheduler's laws must hold all the same.
class RandomPolicy final : public Policy {
 public:
  explicit RandomPolicy(std::uint64_t seed) : random_(seed) {}
  [[nodiscard]] bool reads_cached_tokens() const override { return true; }
  void charge(std::span<const ServiceCharge> charges) override;
  void decide(const StepView& view, StepDecision& decision) override;
  [[nodiscard]] std::int32_t prompt_tokens(const SequenceView& sequence, std::int32_t left) override;

 private:
  void shuffle(std::vector<std::size_t>& order);

  SimulatedRandom random_;
};

}  // namespace slora
