#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "scheduler/policies/prefill_model.h"
#include "scheduler/policies/prompt_shares.h"
#include "scheduler/policy.h"

namespace slora {

// What a first token is worth after a time t, which says whom to serve when not all can be. 0 from the SLO on, for both.
enum class FirstTokenReward : std::uint8_t {
  satisfaction,  // 1 - (t / SLO)^2: S-LoRA's
  attainment,    // 1: in time is in time
};

struct DeadlineLimits {
  Timestamp first_token_slo = std::chrono::seconds(6);              // from arrival to the first token; positive
  Timestamp assumed_prefill_time = std::chrono::milliseconds(500);  // of any prompt, before steps were measured; gives nobody up
  FirstTokenReward reward = FirstTokenReward::satisfaction;
};

// Serves as many sequences as it can within a service level objective (SLO) for their first token, when not all can be: S-LoRA's early
// abort (section 4.3 and appendix B), with measured instead of fixed times. A sequence's deadline is its arrival plus the SLO, or its own
// (SequenceRequest::deadline) if that is earlier.
// - One whose prompt alone takes longer than is left, by PrefillModel, is given up at once. Only the queue is; what started always ends.
//   However long its prompt is said to take, a sequence is tried until its deadline while nothing was measured yet; so is the request that
//   came last, with all its sequences (they have one arrival), when no other runs, or when no prompt was computed for as long as the SLO.
//   So an idle server refuses nobody by an estimate, and one that is too long is corrected.
// - The policy is overloaded from the step on in which, served by arrival, somebody in the queue would miss its deadline, until all would
//   meet theirs with half of the time left to them. A place in the queue costs the time of its prompt, or the measured time between two
//   admissions where that is longer.
// - Under overload the reward says who comes first. `satisfaction`: the newest, because a token that comes early is worth more than one
//   that comes in time, and an old sequence that is served just in time makes the next one late, too. `attainment`: as many as can be in
//   time, by deadline (Moore and Hodgson, 1968: whenever one would be late, that with the most work of those before it and itself is put
//   off; of equal ones the oldest, which leaves the latest that can be served, in order: S-LoRA's appendix B). Those put off follow, the
//   newest first: they are served if others end sooner than foreseen. Otherwise the oldest come first.
// It does not look at clients, and under overload it starves by design, the older sequences or those with long prompts: they get the error
// at their deadline at the latest.
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
  [[nodiscard]] bool tries_newest(const StepView& view) const;
  [[nodiscard]] Timestamp deadline_of(const SequenceView& sequence) const;
  [[nodiscard]] Timestamp time_between_admissions() const;
  void foresee(const StepView& view);
  [[nodiscard]] Timestamp time_of_prompt(const SequenceView& sequence, const StepView& view) const;
  [[nodiscard]] Timestamp time_of_running(const StepView& view) const;
  void order_for_attainment(const StepView& view, std::vector<std::size_t>& queue);

  const DeadlineLimits limits_;
  PrefillModel prefill_;
  AdmissionPace pace_;
  std::optional<Timestamp> decided_;  // when the latest decision was made
  bool is_overloaded_ = false;
  bool computes_prompts_ = false;          // in the step before
  Timestamp prompt_time_{};                // of the end of the latest step that did
  std::vector<LeftWaiting> left_waiting_;  // by id
  // Of this step:
  std::vector<unsigned char> is_hopeless_;  // [waiting]
  struct Candidate {
    Timestamp cost, deadline;
    std::size_t index;  // among those waiting
  };
  std::vector<Candidate> candidates_, chosen_;  // by deadline; a heap, the first to be put off on top
  std::vector<unsigned char> is_chosen_;        // [waiting]
  PromptShares shares_;
};

}  // namespace slora
