#pragma once
#include "scheduler/policy.h"

namespace slora {

// First come, first served within a priority. Gives nobody up. Within one priority the head of the line is never overtaken for
// pages, so it runs at the latest when all that ran before it have ended.
class FcfsPolicy final : public Policy {
 public:
  void order(std::span<const WaitingSequence> waiting, Timestamp now, std::vector<std::size_t>& order) override;
  void give_up(std::span<const WaitingSequence> waiting, Timestamp now, std::vector<SequenceId>& out) override;
};

}  // namespace slora
