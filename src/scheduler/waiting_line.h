#pragma once
#include <span>
#include <vector>

#include "scheduler/policy.h"
#include "scheduler/sequence.h"

namespace slora {

// The sequences that are not running: those that were preempted, oldest first, and the queue, by arrival. Owned by the scheduler, on
// its thread. O(n) per insertion and removal, moving a few bytes per sequence.
class WaitingLine {
 public:
  void add(Sequence& sequence);
  void add_preempted(Sequence& sequence);
  void remove(Sequence& sequence);

  // Everybody in the order to try them, preempted ones first; those that the policy gives up are in `given_up` instead. Both last until
  // the next change.
  void order(Policy& policy, Timestamp now, std::vector<Sequence*>& line, std::vector<Sequence*>& given_up);

  [[nodiscard]] std::size_t queue_size() const { return queue_.size(); }
  [[nodiscard]] std::size_t size() const { return queue_.size() + preempted_.size(); }
  [[nodiscard]] std::size_t queue_tokens() const { return queue_tokens_; }
  [[nodiscard]] std::span<Sequence* const> queue() const { return queue_; }
  [[nodiscard]] std::span<Sequence* const> preempted() const { return preempted_; }

 private:
  std::vector<Sequence*> preempted_;    // by serial
  std::vector<Sequence*> queue_;        // by arrival
  std::vector<WaitingSequence> views_;  // of queue_, in the same order
  std::vector<std::size_t> order_;
  std::vector<SequenceId> give_up_;
  std::size_t queue_tokens_ = 0;
};

}  // namespace slora
