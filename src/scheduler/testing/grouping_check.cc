#include "scheduler/testing/grouping_check.h"

#include <fmt/format.h>

#include <algorithm>

namespace slora {

std::string GroupingCheck::compare(const StepView& view) {
  std::string wrong = check_overdue(view);
  if (wrong.empty()) wrong = check_limits(view);
  queue_.clear();
  waiting_.clear();
  running_.clear();
  for (const SequenceView& sequence : view.waiting) {
    queue_.push_back(sequence.id);
    waiting_[sequence.id] = {sequence.adapter, sequence.adapter_page_count, view.now - sequence.arrival > limits_.wait_max};
  }
  for (const std::span<const SequenceView> list : {view.running, view.preempted})
    for (const SequenceView& sequence : list)
      if (sequence.adapter != kNoAdapter) running_[sequence.adapter] = sequence.adapter_page_count;
  return wrong;
}

// Nobody who came later is admitted before a sequence that waited too long.
std::string GroupingCheck::check_overdue(const StepView& view) const {
  const auto is_left = [&](SequenceId id) { return std::ranges::find(view.waiting, id, &SequenceView::id) != view.waiting.end(); };
  const auto oldest = std::ranges::find_if(queue_, [&](SequenceId id) { return waiting_.at(id).is_overdue && is_left(id); });
  if (oldest == queue_.end()) return {};
  for (const SequenceView& sequence : view.running) {
    if (std::find(oldest, queue_.end(), sequence.id) == queue_.end()) continue;
    return fmt::format("sequence {} was admitted before {}, which came earlier and waited too long", sequence.id.value, oldest->value);
  }
  return {};
}

// A batch gets further adapters beyond its limits only when nobody waits whose adapter is there.
std::string GroupingCheck::check_limits(const StepView& view) const {
  std::map<AdapterId, std::uint32_t> adapters = running_;
  for (const SequenceView& sequence : view.running) {
    const auto before = waiting_.find(sequence.id);
    if (before == waiting_.end() || before->second.is_overdue || sequence.adapter == kNoAdapter) continue;
    adapters[sequence.adapter] = sequence.adapter_page_count;
  }
  std::uint64_t page_count = 0;
  for (const auto& [adapter, pages] : adapters) page_count += pages;
  const bool is_within = adapters.size() <= limits_.adapters_max && page_count <= limits_.pages_max;
  if (is_within || adapters.size() == running_.size() || adapters.size() == 1) return {};
  for (const SequenceView& sequence : view.waiting) {
    const bool is_there = sequence.adapter == kNoAdapter || running_.contains(sequence.adapter);
    if (!waiting_.contains(sequence.id) || !is_there) continue;
    return fmt::format("{} adapters of {} pages run, {} of them new, while sequence {} waits for one of the others", adapters.size(), page_count,
                       adapters.size() - running_.size(), sequence.id.value);
  }
  return {};
}

}  // namespace slora
