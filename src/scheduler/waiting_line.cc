#include "scheduler/waiting_line.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace slora {
namespace {

// So that both lists grow or none does.
void reserve_one(auto& list) {
  if (list.size() == list.capacity()) list.reserve(2 * list.size() + 1);
}

}  // namespace

void WaitingLine::add(Sequence& sequence, const SequenceView& view) {
  Lane& lane = lane_of(sequence);
  const auto serial = [](const Sequence* other) { return other->serial; };
  const auto at = sequence.state == SequenceState::preempted
                      ? std::ranges::upper_bound(lane.sequences, sequence.serial, {}, serial) - lane.sequences.begin()
                      : std::ranges::upper_bound(lane.views, view.arrival, {}, &SequenceView::arrival) - lane.views.begin();
  reserve_one(lane.sequences);
  reserve_one(lane.views);
  lane.sequences.insert(lane.sequences.begin() + at, &sequence);
  lane.views.insert(lane.views.begin() + at, view);
  if (&lane == &queue_) queue_tokens_ += sequence.tokens.size();
}

void WaitingLine::remove(Sequence& sequence) {
  Lane& lane = lane_of(sequence);
  const auto at = static_cast<std::ptrdiff_t>(position_of(sequence));
  lane.sequences.erase(lane.sequences.begin() + at);
  lane.views.erase(lane.views.begin() + at);
  if (&lane == &queue_) queue_tokens_ -= sequence.tokens.size();
}

void WaitingLine::remove_from_queue(std::span<const std::size_t> indices) {
  if (indices.empty()) return;
  for (const std::size_t index : indices) {
    Sequence* const sequence = std::exchange(queue_.sequences[index], nullptr);
    check(sequence != nullptr, "expected every sequence to be removed once");
    queue_tokens_ -= sequence->tokens.size();
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < queue_.sequences.size(); ++i) {
    if (queue_.sequences[i] == nullptr) continue;
    queue_.sequences[kept] = queue_.sequences[i];
    queue_.views[kept++] = queue_.views[i];
  }
  queue_.sequences.resize(kept);
  queue_.views.resize(kept);
}

SequenceView& WaitingLine::view_of(const Sequence& sequence) { return lane_of(sequence).views[position_of(sequence)]; }

void WaitingLine::set_adapter_state(AdapterId adapter, AdapterState state) {
  for (Lane* const lane : {&preempted_, &queue_})
    for (SequenceView& view : lane->views)
      if (view.adapter == adapter) view.adapter_state = state;
}

std::size_t WaitingLine::position_of(const Sequence& sequence) {
  const Lane& lane = lane_of(sequence);
  auto begin = lane.sequences.begin();
  if (&lane == &queue_)
    begin += std::ranges::lower_bound(lane.views, sequence.request.arrival, {}, &SequenceView::arrival) - lane.views.begin();
  const auto at = std::find(begin, lane.sequences.end(), &sequence);
  check(at != lane.sequences.end(), "expected the sequence to be in the line");
  return static_cast<std::size_t>(at - lane.sequences.begin());
}

}  // namespace slora
