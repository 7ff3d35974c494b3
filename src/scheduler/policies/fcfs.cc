#include "scheduler/policies/fcfs.h"

namespace slora {

void FcfsPolicy::charge(std::span<const ServiceCharge>) {}

void FcfsPolicy::decide(const StepView& view, StepDecision& decision) { shares_.begin(view, decision); }  // by arrival, as it is at first

std::int32_t FcfsPolicy::prompt_tokens(const SequenceView& sequence, std::int32_t left) {
  return shares_.share_of(sequence, left, SharedAmong::all);
}

}  // namespace slora
