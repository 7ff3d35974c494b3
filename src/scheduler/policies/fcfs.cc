#include "scheduler/policies/fcfs.h"

#include <algorithm>

namespace slora {

void FcfsPolicy::order(std::span<const WaitingSequence> waiting, Timestamp, std::vector<std::size_t>& order) {
  const auto runs_before = [&](std::size_t a, std::size_t b) {  // `waiting` is sorted by arrival
    return waiting[a].priority != waiting[b].priority ? waiting[a].priority < waiting[b].priority : a < b;
  };
  if (!std::ranges::is_sorted(order, runs_before)) std::ranges::sort(order, runs_before);
}

void FcfsPolicy::give_up(std::span<const WaitingSequence>, Timestamp, std::vector<SequenceId>&) {}

}  // namespace slora
