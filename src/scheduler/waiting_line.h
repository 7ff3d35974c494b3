#pragma once
#include <span>
#include <vector>

#include "scheduler/policy.h"
#include "scheduler/sequence.h"

namespace slora {

// The sequences that are not running: those that were preempted, oldest first, and the queue, by arrival; each with what a policy sees
// of it. Owned by the scheduler, on its thread. O(n) per insertion and removal, moving about a hundred bytes per sequence.
class WaitingLine {
 public:
  // Into the queue or among the preempted, by the sequence's state. Changes nothing when it throws, for lack of memory.
  void add(Sequence& sequence, const SequenceView& view);
  void remove(Sequence& sequence);
  // Removes several of the queue at once, by their indices in it; O(n) in all.
  void remove_from_queue(std::span<const std::size_t> indices);

  // Requires: the sequence is in the line. Valid until the next change.
  [[nodiscard]] SequenceView& view_of(const Sequence& sequence);
  void set_adapter_state(AdapterId adapter, AdapterState state);

  [[nodiscard]] std::size_t queue_size() const { return queue_.sequences.size(); }
  [[nodiscard]] std::size_t size() const { return queue_.sequences.size() + preempted_.sequences.size(); }
  [[nodiscard]] std::size_t queue_tokens() const { return queue_tokens_; }
  [[nodiscard]] std::span<Sequence* const> queue() const { return queue_.sequences; }
  [[nodiscard]] std::span<Sequence* const> preempted() const { return preempted_.sequences; }
  [[nodiscard]] std::span<const SequenceView> queue_views() const { return queue_.views; }
  [[nodiscard]] std::span<const SequenceView> preempted_views() const { return preempted_.views; }

 private:
  struct Lane {
    std::vector<Sequence*> sequences;
    std::vector<SequenceView> views;  // of `sequences`, in the same order
  };
  [[nodiscard]] Lane& lane_of(const Sequence& sequence) { return sequence.state == SequenceState::preempted ? preempted_ : queue_; }
  [[nodiscard]] std::size_t position_of(const Sequence& sequence);

  Lane preempted_;  // by serial
  Lane queue_;      // by arrival, then by serial
  std::size_t queue_tokens_ = 0;
};

}  // namespace slora
