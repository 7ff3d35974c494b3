#include "scheduler/policy_caller.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/check.h"

namespace slora {

PolicyCaller::PolicyCaller(std::unique_ptr<Policy> policy, std::int32_t overtaken_max)
    : policy_(std::move(policy)),
      overtaken_max_(overtaken_max),
      reads_cached_tokens_(policy_ != nullptr && policy_->reads_cached_tokens()) {
  check(policy_ != nullptr, "expected a policy");
}

const StepDecision& PolicyCaller::decide(StepView view) {
  policy_->charge(charges_);
  charges_.clear();
  decision_.queue.resize(view.waiting.size());
  std::iota(decision_.queue.begin(), decision_.queue.end(), std::size_t{0});
  decision_.running.resize(view.running.size());
  std::iota(decision_.running.begin(), decision_.running.end(), std::size_t{0});
  decision_.given_up.clear();
  decision_.passed_over_max = decision_.places_kept = 0;
  decision_.prompt_tokens_max = kAnyPromptTokens;
  view.measured = measured_;
  policy_->decide(view, decision_);
  measured_.clear();

  check(decision_.passed_over_max >= 0, "expected a policy to pass over 0 sequences or more");
  check(decision_.places_kept >= 0, "expected a policy to keep 0 places or more");
  decision_.places_kept = std::clamp(decision_.places_kept, 0, std::max(view.places - 1, 0));
  decision_.prompt_tokens_max = std::max(decision_.prompt_tokens_max, 1);
  check(decision_.running.size() == view.running.size(), "expected a policy to order all running sequences");
  marks_.assign(view.running.size(), 0);
  mark(decision_.running);
  if (!view.running.empty()) {
    const auto oldest = std::ranges::find(decision_.running, std::size_t{0});
    std::rotate(decision_.running.begin(), oldest, oldest + 1);
  }

  marks_.assign(view.waiting.size(), 0);
  mark(decision_.given_up);
  std::erase_if(decision_.queue, [&](std::size_t index) { return index < marks_.size() && marks_[index] != 0; });
  first_.clear();
  for (std::size_t index = 0; index < marks_.size(); ++index)
    if (view.waiting[index].overtaken_count >= overtaken_max_ && marks_[index] == 0) first_.push_back(index);
  mark(decision_.queue);
  if (view.running.empty() && view.preempted.empty()) {
    for (std::size_t index = 0; index < marks_.size(); ++index)
      if (marks_[index] == 0) decision_.queue.push_back(index);
  }
  if (!first_.empty()) {
    std::erase_if(decision_.queue, [&](std::size_t index) { return view.waiting[index].overtaken_count >= overtaken_max_; });
    decision_.queue.insert(decision_.queue.begin(), first_.begin(), first_.end());
  }
  return decision_;
}

std::int32_t PolicyCaller::prompt_tokens(const SequenceView& sequence, std::int32_t least, std::int32_t left) {
  const std::int32_t wanted = policy_->prompt_tokens(sequence, left);
  return std::clamp(wanted, least, left);
}

void PolicyCaller::mark(std::span<const std::size_t> indices) {
  for (const std::size_t index : indices) {
    check(index < marks_.size() && marks_[index] == 0, "expected a policy to name each sequence at most once, and only those it was shown");
    marks_[index] = 1;
  }
}

}  // namespace slora
