#include "scheduler/policies/adapter_grouped.h"

#include <algorithm>
#include <tuple>

#include "base/check.h"

namespace slora {

AdapterGroupedPolicy::AdapterGroupedPolicy(const AdapterGroupLimits& limits) : limits_(limits) {
  check(limits_.adapters_max > 0 && limits_.pages_max > 0, "expected a group of at least one adapter and one page");
}

void AdapterGroupedPolicy::charge(std::span<const ServiceCharge>) {}

void AdapterGroupedPolicy::decide(const StepView& view, StepDecision& decision) {
  form_group(view);
  ranks_.clear();
  for (const SequenceView& sequence : view.waiting) ranks_.push_back(rank_of(sequence, view.now));
  const auto comes_first = [&](std::size_t a, std::size_t b) { return std::tuple(ranks_[a], a) < std::tuple(ranks_[b], b); };
  if (!std::ranges::is_sorted(decision.queue, comes_first)) std::ranges::sort(decision.queue, comes_first);
}

std::int32_t AdapterGroupedPolicy::prompt_tokens(const SequenceView&, std::int32_t left) { return left; }

// Preempted sequences count as running: they are tried first, whatever the policy decides.
void AdapterGroupedPolicy::form_group(const StepView& view) {
  members_.swap(former_members_);
  members_.clear();
  group_count_ = group_pages_ = 0;
  const auto add_running = [&](auto is_wanted) {
    for (const std::span<const SequenceView> list : {view.running, view.preempted}) {
      for (const SequenceView& sequence : list) {
        if (sequence.adapter == kNoAdapter || find(members_, sequence.adapter) != nullptr) continue;
        if (is_wanted(sequence)) insert(sequence, fits_group(sequence));
      }
    }
  };
  add_running([&](const SequenceView& sequence) {
    const Member* const former = find(former_members_, sequence.adapter);
    return former != nullptr && former->is_grouped;
  });
  add_running([](const SequenceView&) { return true; });
  for (const SequenceView& sequence : view.waiting) {
    const bool is_new = sequence.adapter != kNoAdapter && find(members_, sequence.adapter) == nullptr;
    if (is_new && fits_group(sequence)) insert(sequence, true);
  }
}

bool AdapterGroupedPolicy::fits_group(const SequenceView& sequence) const {
  if (group_count_ == 0) return true;
  return group_count_ < limits_.adapters_max && group_pages_ + sequence.adapter_page_count <= limits_.pages_max;
}

void AdapterGroupedPolicy::insert(const SequenceView& sequence, bool is_grouped) {
  const auto at = std::ranges::lower_bound(members_, sequence.adapter, {}, &Member::adapter);
  members_.insert(at, {sequence.adapter, is_grouped});
  if (!is_grouped) return;
  ++group_count_;
  group_pages_ += sequence.adapter_page_count;
}

const AdapterGroupedPolicy::Member* AdapterGroupedPolicy::find(const std::vector<Member>& members, AdapterId adapter) {
  const auto at = std::ranges::lower_bound(members, adapter, {}, &Member::adapter);
  return at != members.end() && at->adapter == adapter ? &*at : nullptr;
}

AdapterGroupedPolicy::Rank AdapterGroupedPolicy::rank_of(const SequenceView& sequence, Timestamp now) const {
  if (now - sequence.arrival > limits_.wait_max) return Rank::overdue;
  if (sequence.adapter == kNoAdapter) return Rank::grouped;
  const Member* const member = find(members_, sequence.adapter);
  if (member == nullptr) return Rank::other;
  return member->is_grouped ? Rank::grouped : Rank::running;
}

}  // namespace slora
