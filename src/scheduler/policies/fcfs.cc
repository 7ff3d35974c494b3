#include "scheduler/policies/fcfs.h"

namespace slora {

void FcfsPolicy::charge(std::span<const ServiceCharge>) {}

void FcfsPolicy::decide(const StepView&, StepDecision&) {}  // by arrival, as the decision is at first

std::int32_t FcfsPolicy::prompt_tokens(const SequenceView&, std::int32_t left) { return left; }

}  // namespace slora
