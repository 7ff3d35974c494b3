#pragma once
#include <cstdint>

#include "base/clock.h"
#include "scheduler/policy.h"

namespace slora {

// How long prompts take, measured from the steps that were made: a step takes `step_time` for what it always does (weights, sequences that
// generate) and `token_time` more for each prompt token. Both are means over the latest steps with exponentially falling weights, the first
// over steps without a prompt. A step that took more than three times as long as the model says counts as three times, for it may be a
// single one in which another process had the cores: once ten steps of one size were measured, the estimate for another rises by a third.
// After a step that took less than half as long, all before together have the weight of one step, because what made them slow is over.
// Owned by a policy, on the scheduler's thread.
class PrefillModel {
 public:
  // `assumed`: for any prompt, until kStepsMin steps with prompts were measured.
  explicit PrefillModel(Timestamp assumed) : assumed_(assumed) {}

  void note(const MeasuredStep& step);
  // For this many tokens in steps of at most `step_tokens` of them. Requires: step_tokens > 0.
  [[nodiscard]] Timestamp time_of(std::int64_t prompt_tokens, std::int32_t step_tokens) const;
  // Tokens of a single step that takes this time; 0 if a step without them takes as long. Requires: is_measured().
  [[nodiscard]] std::int32_t tokens_in(Timestamp time) const;
  [[nodiscard]] bool is_measured() const { return prompt_steps_.count >= kStepsMin; }

 private:
  static constexpr std::int32_t kStepsMin = 4;
  static constexpr double kKept = 0.9;                    // of the weight of what was measured before, at each step
  static constexpr double kSlowest = 3, kMuchFaster = 2;  // than the model says

  struct Means {
    std::int32_t count = 0;  // up to kStepsMin
    double weight = 0, tokens = 0, nanoseconds = 0;
    void add(double more_tokens, double more_nanoseconds);
  };

  // Requires: is_measured().
  [[nodiscard]] double nanoseconds_of(std::int64_t prompt_tokens, std::int64_t step_count) const;
  [[nodiscard]] double step_nanoseconds() const;   // without a prompt
  [[nodiscard]] double token_nanoseconds() const;  // of a prompt; not negative

  const Timestamp assumed_;
  Means prompt_steps_, other_steps_;
};

}  // namespace slora
