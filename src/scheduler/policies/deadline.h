#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "scheduler/policies/prefill_model.h"
#include "scheduler/policies/prompt_shares.h"
#include "scheduler/policy.h"

namespace slora {

struct DeadlineLimits {
  Timestamp first_token_slo = std::chrono::seconds(6);              // from arrival to the first token; positive
  Timestamp assumed_prefill_time = std::chrono::milliseconds(500);  // of any prompt, before steps were measured
};

// Serves as many sequences as it can within a service level objective (SLO) for their first token, when not all can be: S-LoRA's early
// abort (section 4.3 and appendix B), with measured instead of fixed times. A sequence's deadline is its arrival plus the SLO, or its own
// (SequenceRequest::deadline) if that is earlier.
// - One whose prompt alone takes longer than is left, by PrefillModel, is given up at once. Only the queue is; what started always ends.
//   When nothing runs, the newest is tried however long its prompt is said to take, so that the model is never too old to correct itself.
// - The policy is overloaded from the step on in which, served by arrival, somebody in the queue would miss its deadline, until all would
//   meet theirs with half of the time left to them. A place in the queue costs the time of its prompt, or the measured time between two
//   admissions where that is longer.
// - Under overload the newest come first: a token that comes early is worth more than one that comes in time, and an old sequence that
//   is served just in time makes the next one late, too. Otherwise the oldest come first.
// It does not look at clients, and under overload it starves the older of them by design: they get the error at their deadline at the
// latest.
class DeadlinePolicy final : public Policy {
 public:
  explicit DeadlinePolicy(const DeadlineLimits& limits);

  [[nodiscard]] bool reads_cached_tokens() const override { return true; }
  [[nodiscard]] Error given_up_error() const override;
  void charge(std::span<const ServiceCharge> charges) override;
  void decide(const StepView& view, StepDecision& decision) override;
  [[nodiscard]] std::int32_t prompt_tokens(const SequenceView& sequence, std::int32_t left) override;

  [[nodiscard]] bool is_overloaded() const { return is_overloaded_; }

 private:
  // The time between two admissions, measured while sequences wait: means over the latest steps with exponentially falling weights, as if
  // one had been admitted just before.
  struct AdmissionPace {
    double nanoseconds = 0, admitted = 1;
  };

  // Was in the queue after the step before, and not given up.
  struct LeftWaiting {
    SequenceId id;
    bool is_served = false;  // some of its prompt was computed since then
    bool is_lost = false;    // it ended without, cancelled for example
  };

  void measure(const StepView& view);
  [[nodiscard]] Timestamp deadline_of(const SequenceView& sequence) const;
  [[nodiscard]] Timestamp time_between_admissions() const;
  void foresee(const StepView& view);

  const DeadlineLimits limits_;
  PrefillModel prefill_;
  AdmissionPace pace_;
  bool is_overloaded_ = false;
  // Since the step before:
  std::int64_t prompt_tokens_ = 0, output_tokens_ = 0;
  std::optional<Timestamp> last_time_;
  std::vector<LeftWaiting> left_waiting_;  // by id
  // Of this step:
  std::vector<unsigned char> is_hopeless_;  // [waiting]
  PromptShares shares_;
};

}  // namespace slora
