#include "scheduler/waiting_line.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace slora {

void WaitingLine::add(Sequence& sequence) {
  const SequenceRequest& request = sequence.request;
  const auto at = std::ranges::upper_bound(views_, request.arrival, {}, &WaitingSequence::arrival) - views_.begin();
  queue_.insert(queue_.begin() + at, &sequence);
  views_.insert(views_.begin() + at, WaitingSequence{.id = request.id,
                                                     .tenant = request.tenant,
                                                     .adapter = request.adapter,
                                                     .priority = request.priority,
                                                     .arrival = request.arrival,
                                                     .tokens_to_compute = sequence.known_count()});
  queue_tokens_ += sequence.tokens.size();
}

void WaitingLine::add_preempted(Sequence& sequence) {
  const auto older = [](const Sequence* a, const Sequence* b) { return a->serial < b->serial; };
  preempted_.insert(std::ranges::upper_bound(preempted_, &sequence, older), &sequence);
}

void WaitingLine::remove(Sequence& sequence) {
  if (sequence.state == SequenceState::preempted) {
    check(std::erase(preempted_, &sequence) == 1, "a preempted sequence stands in the line");
    return;
  }
  const auto at = std::ranges::find(queue_, &sequence) - queue_.begin();
  check(at < std::ssize(queue_), "a waiting sequence stands in the queue");
  queue_.erase(queue_.begin() + at);
  views_.erase(views_.begin() + at);
  queue_tokens_ -= sequence.tokens.size();
}

void WaitingLine::order(Policy& policy, Timestamp now, std::vector<Sequence*>& line, std::vector<Sequence*>& given_up) {
  order_.resize(queue_.size());
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  give_up_.clear();
  if (!queue_.empty()) {
    policy.order(views_, now, order_);
    policy.give_up(views_, now, give_up_);
  }
  check(order_.size() == queue_.size(), "a policy permutes");

  line.assign(preempted_.begin(), preempted_.end());
  given_up.clear();
  for (const std::size_t index : order_) {
    Sequence* const sequence = queue_[index];
    const bool gone = std::ranges::find(give_up_, sequence->request.id) != give_up_.end();
    (gone ? given_up : line).push_back(sequence);
  }
}

}  // namespace slora
