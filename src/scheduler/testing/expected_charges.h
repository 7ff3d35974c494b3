#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "scheduler/policy.h"
#include "scheduler/step_plan.h"

namespace slora {

// For tests: what a policy has to be charged, counted from plans and results alone. Each charge must come once, at the next step.
class ExpectedCharges {
 public:
  void note_span(const PlannedSpan& span, const SequenceRequest& request);
  void note_output(SequenceId id);
  // Whoever uses it first has to pay for it, unless somebody else does.
  void note_load(AdapterId adapter, std::size_t pages_taken);
  void note_pinned(AdapterId adapter);
  // Reported by the scheduler; its charge may have come already.
  void note_end(const SequenceEnd& end);

  // Compares the charges of one step with what was noted since the last call. What is wrong, or nothing.
  [[nodiscard]] std::string compare(std::span<const ServiceCharge> charges);
  // Once nothing is left: whether every end was charged, with its reason.
  [[nodiscard]] std::string compare_ends() const;

 private:
  struct Work {
    std::int64_t prompt_tokens = 0, recomputed_tokens = 0, output_tokens = 0;
    bool operator==(const Work&) const = default;
  };
  struct Known {
    ClientId client;
    AdapterId adapter;
    std::vector<bool> computed;  // [positions computed for it so far, and those before them]
  };

  std::map<SequenceId, Work> work_;
  std::map<AdapterId, std::int64_t> unpaid_pages_;  // of the latest load of each, if nobody has paid for it
  std::map<SequenceId, Known> known_;
  std::map<SequenceId, EndReason> reported_, charged_;  // ends
};

}  // namespace slora
