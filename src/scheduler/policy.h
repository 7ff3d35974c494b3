#pragma once
#include <span>
#include <vector>

#include "base/clock.h"
#include "scheduler/request.h"

namespace slora {

// What a policy may know of one waiting sequence.
struct WaitingSequence {
  SequenceId id;
  TenantId tenant;
  AdapterId adapter;
  std::int32_t priority;
  Timestamp arrival;
  std::int32_t tokens_to_compute;  // its prompt
};

// The order in which waiting sequences are tried, and which to give up. Chosen at start, called by the scheduler at the start of each
// step; knows nothing of pages.
class Policy {
 public:
  virtual ~Policy() = default;
  // Permutes `order` (indices into `waiting`, which is sorted by arrival) into the order to try. Sequences that come back after
  // preemption are not among them: they are tried before anything else, whatever the policy says.
  virtual void order(std::span<const WaitingSequence> waiting, Timestamp now, std::vector<std::size_t>& order) = 0;
  // Appends the waiting sequences that are not worth starting any more. Called after order().
  virtual void give_up(std::span<const WaitingSequence> waiting, Timestamp now, std::vector<SequenceId>& out) = 0;
};

}  // namespace slora
