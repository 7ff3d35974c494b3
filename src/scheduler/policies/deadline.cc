#include "scheduler/policies/deadline.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/check.h"

namespace slora {

DeadlinePolicy::DeadlinePolicy(const DeadlineLimits& limits) : limits_(limits), prefill_(limits.assumed_prefill_time) {
  check(limits_.first_token_slo > Timestamp{}, "expected a positive time to the first token");
}

Error DeadlinePolicy::given_up_error() const {
  return {"first_token_slo_missed",
          fmt::format("The server is overloaded: the first token could not come within {:g} s, or within the request's own timeout; "
                      "try again later.",
                      seconds(limits_.first_token_slo)),
          {}};
}

void DeadlinePolicy::charge(std::span<const ServiceCharge> charges) {
  for (const ServiceCharge& charge : charges) {
    const bool is_computed = charge.prompt_tokens + charge.recomputed_tokens > 0;
    computes_prompts_ = computes_prompts_ || is_computed;
    const auto left = std::ranges::lower_bound(left_waiting_, charge.id, {}, &LeftWaiting::id);
    if (left == left_waiting_.end() || left->id != charge.id) continue;
    left->is_served = left->is_served || is_computed;
    left->is_lost = charge.end && !left->is_served;
  }
}

void DeadlinePolicy::decide(const StepView& view, StepDecision& decision) {
  measure(view);
  foresee(view);
  for (std::size_t i = 0; i < view.waiting.size(); ++i)
    if (is_hopeless_[i] != 0) decision.given_up.push_back(i);
  if (is_overloaded_ && limits_.reward == FirstTokenReward::attainment) {
    order_for_attainment(view, decision.queue);
  } else if (is_overloaded_) {
    std::ranges::reverse(decision.queue);
  }
  shares_.begin(view, decision);
  left_waiting_.clear();
  for (std::size_t i = 0; i < view.waiting.size(); ++i)
    if (is_hopeless_[i] == 0) left_waiting_.push_back({.id = view.waiting[i].id});
  std::ranges::sort(left_waiting_, {}, &LeftWaiting::id);
}

std::int32_t DeadlinePolicy::prompt_tokens(const SequenceView& sequence, std::int32_t left) {
  return shares_.share_of(sequence, left, SharedAmong::all);
}

void DeadlinePolicy::measure(const StepView& view) {
  constexpr double kKept = 0.98;  // of the weight of what was measured before, at each step
  for (const MeasuredStep& step : view.measured) prefill_.note(step);
  const Timestamp elapsed = view.now - std::exchange(decided_, view.now).value_or(view.now);
  const auto still_waits = [&](const SequenceView& one) { return std::ranges::binary_search(left_waiting_, one.id, {}, &LeftWaiting::id); };
  const std::ptrdiff_t waiting_still = std::ranges::count_if(view.waiting, still_waits);
  if (waiting_still == 0) {
    pace_ = {};
  } else {
    const std::ptrdiff_t lost = std::ranges::count_if(left_waiting_, &LeftWaiting::is_lost);
    pace_.nanoseconds = kKept * pace_.nanoseconds + static_cast<double>(elapsed.count());
    pace_.admitted = kKept * pace_.admitted + static_cast<double>(std::ssize(left_waiting_) - waiting_still - lost);
  }
  if (std::exchange(computes_prompts_, false)) prompt_time_ = view.now;
}

Timestamp DeadlinePolicy::deadline_of(const SequenceView& sequence) const {
  return std::min(sequence.arrival + limits_.first_token_slo, sequence.deadline);
}

Timestamp DeadlinePolicy::time_between_admissions() const {
  constexpr double kAdmittedMin = 1e-6;
  constexpr double kLongest = 1e14;  // over a day: foresee() adds it to times without overflow, and only until somebody is late
  return Timestamp{static_cast<std::int64_t>(std::min(pace_.nanoseconds / std::max(pace_.admitted, kAdmittedMin), kLongest))};
}

// How long the rest of the prompts takes that have started, as far as that was measured.
Timestamp DeadlinePolicy::time_of_running(const StepView& view) const {
  std::int64_t tokens = 0;
  for (const std::span<const SequenceView> list : {view.running, view.preempted})
    for (const SequenceView& sequence : list) tokens += sequence.tokens_to_compute > 1 ? sequence.tokens_to_compute : 0;
  return prefill_.is_measured() ? prefill_.time_of(tokens, std::max(view.prompt_tokens_max, 1)) : Timestamp{};
}

Timestamp DeadlinePolicy::time_of_prompt(const SequenceView& sequence, const StepView& view) const {
  return prefill_.time_of(sequence.tokens_to_compute - sequence.cached_tokens, std::max(view.prompt_tokens_max, 1));
}

// Whether the request that came last is tried even if its prompt is said to take too long: when no other runs, or when no prompt was
// computed for so long that what was measured may not hold any more.
bool DeadlinePolicy::tries_newest(const StepView& view) const {
  if (view.now - prompt_time_ >= limits_.first_token_slo) return true;
  const auto is_newest = [&](const SequenceView& sequence) { return sequence.arrival == view.waiting.back().arrival; };
  return std::ranges::all_of(view.running, is_newest) && std::ranges::all_of(view.preempted, is_newest);
}

// Who cannot make it, and whether all others would if they were served by arrival.
void DeadlinePolicy::foresee(const StepView& view) {
  const Timestamp pace = time_between_admissions();
  Timestamp ahead = time_of_running(view);
  const bool newest_is_tried = !view.waiting.empty() && tries_newest(view);
  bool all_in_time = true, all_with_time_left = true;
  is_hopeless_.clear();
  for (const SequenceView& sequence : view.waiting) {
    const Timestamp left = deadline_of(sequence) - view.now;
    const Timestamp own = time_of_prompt(sequence, view);
    const bool is_tried = !prefill_.is_measured() || (newest_is_tried && sequence.arrival == view.waiting.back().arrival);
    const bool is_hopeless = own > left && (left < Timestamp{} || !is_tried);
    is_hopeless_.push_back(is_hopeless ? 1 : 0);
    if (is_hopeless || !all_in_time) continue;  // once one is late, nothing after it matters, and the sum stays in range
    ahead += std::max(own, pace);
    all_in_time = all_in_time && ahead <= left;
    all_with_time_left = all_with_time_left && ahead <= left / 2;
  }
  is_overloaded_ = is_overloaded_ ? !all_with_time_left : !all_in_time;
}

// The chosen by deadline, then the others, the newest first; those given up are somewhere among these. The sum of what is chosen stays
// below the latest deadline, and so in range.
void DeadlinePolicy::order_for_attainment(const StepView& view, std::vector<std::size_t>& queue) {
  const Timestamp pace = time_between_admissions();
  candidates_.clear();
  chosen_.clear();
  for (std::size_t i = 0; i < view.waiting.size(); ++i) {
    const SequenceView& sequence = view.waiting[i];
    if (is_hopeless_[i] == 0) candidates_.push_back({std::max(time_of_prompt(sequence, view), pace), deadline_of(sequence), i});
  }
  const auto is_due_before = [](const Candidate& a, const Candidate& b) {
    return std::tuple(a.deadline, a.index) < std::tuple(b.deadline, b.index);
  };
  const auto is_put_off_after = [](const Candidate& a, const Candidate& b) {
    return std::tuple(a.cost, b.deadline, b.index) < std::tuple(b.cost, a.deadline, a.index);
  };
  if (!std::ranges::is_sorted(candidates_, is_due_before)) std::ranges::sort(candidates_, is_due_before);
  Timestamp ahead = view.now + time_of_running(view);
  for (const Candidate& candidate : candidates_) {
    ahead += candidate.cost;
    chosen_.push_back(candidate);
    std::ranges::push_heap(chosen_, is_put_off_after);
    if (ahead <= candidate.deadline) continue;
    std::ranges::pop_heap(chosen_, is_put_off_after);
    ahead -= chosen_.back().cost;
    chosen_.pop_back();
  }
  std::ranges::sort(chosen_, is_due_before);
  std::ranges::reverse(queue);
  const auto is_chosen = [&](std::size_t index) { return is_chosen_[index] != 0; };
  is_chosen_.assign(view.waiting.size(), 0);
  for (const Candidate& candidate : chosen_) is_chosen_[candidate.index] = 1;
  std::erase_if(queue, is_chosen);
  const auto at = queue.insert(queue.begin(), chosen_.size(), 0);
  std::ranges::transform(chosen_, at, &Candidate::index);
}

}  // namespace slora
