#include "scheduler/policies/deadline.h"

#include <fmt/format.h>

#include <algorithm>

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
    prompt_tokens_ += charge.prompt_tokens + charge.recomputed_tokens;
    output_tokens_ += charge.output_tokens;
  }
}

void DeadlinePolicy::decide(const StepView& view, StepDecision& decision) {
  measure(view);
  foresee(view);
  for (std::size_t i = 0; i < view.waiting.size(); ++i)
    if (is_hopeless_[i] != 0) decision.given_up.push_back(i);
  if (is_overloaded_) std::ranges::reverse(decision.queue);
  left_waiting_ = view.waiting.size() - decision.given_up.size();
}

std::int32_t DeadlinePolicy::prompt_tokens(const SequenceView&, std::int32_t left) { return left; }

// An interval without work was no step: the scheduler had nothing to do.
void DeadlinePolicy::measure(const StepView& view) {
  constexpr double kKept = 0.98;  // of the weight of what was measured before, at each step
  const Timestamp last = last_time_.value_or(view.now);
  const Timestamp elapsed = view.now - last;
  if (last_time_ && prompt_tokens_ + output_tokens_ > 0) prefill_.note(prompt_tokens_, elapsed);
  const auto came_before = std::ranges::count_if(view.waiting, [&](const SequenceView& one) { return one.arrival <= last; });
  if (came_before == 0) {
    pace_ = {};
  } else {
    pace_.nanoseconds = kKept * pace_.nanoseconds + static_cast<double>(elapsed.count());
    pace_.admitted = kKept * pace_.admitted + std::max(static_cast<double>(left_waiting_) - static_cast<double>(came_before), 0.0);
  }
  prompt_tokens_ = output_tokens_ = 0;
  last_time_ = view.now;
}

Timestamp DeadlinePolicy::deadline_of(const SequenceView& sequence) const {
  return std::min(sequence.arrival + limits_.first_token_slo, sequence.deadline);
}

Timestamp DeadlinePolicy::time_between_admissions() const {
  constexpr double kAdmittedMin = 1e-6;
  constexpr double kLongest = 1e14;  // over a day: so that the sum of a whole queue stays in range
  return Timestamp{static_cast<std::int64_t>(std::min(pace_.nanoseconds / std::max(pace_.admitted, kAdmittedMin), kLongest))};
}

// Who cannot make it, and whether all others would if they were served by arrival.
void DeadlinePolicy::foresee(const StepView& view) {
  const std::int32_t step_tokens = std::max(view.prompt_tokens_max, 1);
  std::int64_t admitted_tokens = 0;
  for (const std::span<const SequenceView> list : {view.running, view.preempted})
    for (const SequenceView& sequence : list) admitted_tokens += sequence.tokens_to_compute > 1 ? sequence.tokens_to_compute : 0;

  const Timestamp pace = time_between_admissions();
  Timestamp ahead = prefill_.is_measured() ? prefill_.time_of(admitted_tokens, step_tokens) : Timestamp{};
  bool all_in_time = true, all_with_time_left = true;
  is_hopeless_.clear();
  for (const SequenceView& sequence : view.waiting) {
    const Timestamp left = deadline_of(sequence) - view.now;
    const Timestamp own = prefill_.time_of(sequence.tokens_to_compute - sequence.cached_tokens, step_tokens);
    const bool is_hopeless = own > left;
    is_hopeless_.push_back(is_hopeless ? 1 : 0);
    if (is_hopeless) continue;
    ahead += std::max(own, pace);
    all_in_time = all_in_time && ahead <= left;
    all_with_time_left = all_with_time_left && ahead <= left / 2;
  }
  is_overloaded_ = is_overloaded_ ? !all_with_time_left : !all_in_time;
}

}  // namespace slora
