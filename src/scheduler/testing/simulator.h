#pragma once
#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "scheduler/scheduler.h"
#include "scheduler/testing/expected_charges.h"
#include "scheduler/testing/fairness_check.h"
#include "scheduler/testing/grouping_check.h"
#include "scheduler/testing/simulated_device.h"
#include "scheduler/testing/simulated_workload.h"

namespace slora {

// Situations that some simulations have to meet, or they are too easy to prove anything.
enum class Situation : std::uint8_t {
  preempted_twice,
  preempted_while_uncommitted,
  reserved_while_loading,  // admitted with its worst case reserved while its adapter loads
  cancelled_while_waiting,
  cancelled_while_loading,
  cancelled_while_running,
  cancelled_while_uncommitted,
  cancelled_after_preemption,
  stopped_with_a_step_ahead,  // the next plan has a row of a sequence that ended
  failed_step,
  scored_over_preemption,  // part of the prompt before, part after
  read_cached_prefix,
  read_cached_output,  // what one request generated is another's prompt
  prefix_evicted,
  adapter_came_back,  // loaded again after its image was evicted
  load_failed,
  load_succeeded_after_failure,
  replaced_while_running,
  replaced_while_waiting,
  nobody_waits_for_load,  // it landed for a sequence that is gone
  no_page_free,
  queue_was_full,
  never_fits,
  given_up,
  overtaken,               // others were admitted past it while it did not fit
  overtaken_to_the_bound,  // as often as may be
  recomputed,              // charged for what preemption lost
  loaded_ahead,            // an adapter was loaded before its sequence was admitted
  pin_refused,             // it would have left too few pages for a sequence that was there
  pin_waits,               // for pages, while others run
  pinned_for_long,         // an image outlasted all use of it
  left_unused,             // an image left because nobody used it
  shared_while_loading,    // an image was loaded with another that uses the same shared one, and has not come yet
  shared_outlived_load,    // the load that was to bring it failed
  shared_came_back,        // after the last adapter that used it had left
  made_smaller,            // a step, by the policy
  suspended_with_a_token,
  suspended_without_token,
  suspended_at_its_length,  // with the last token that it may have
  suspended_at_a_page,      // without the token that would follow a full page
  cancelled_while_suspended,
  preempted_while_suspended,
  count
};
inline constexpr std::size_t kSituationCount = static_cast<std::size_t>(Situation::count);
[[nodiscard]] std::string_view name_of(Situation situation);

struct SimulationReport {
  std::string failure;  // the first violation, with seed and step, or empty
  std::uint64_t steps = 0;
  std::uint64_t ended = 0;
  std::uint64_t age_max = 0;      // steps from a sequence's arrival to its end
  double unfairness_max = 0;      // see FairnessCheck::worst
  std::uint64_t plan_digest = 0;  // of every plan that was made, in order: equal digests mean equal decisions
  std::array<std::uint64_t, kSituationCount> situations{};
};

// Runs the production scheduler under bursts, cancellations, slow and failing loads, replaced adapters and a tiny pool. After every call
// the scheduler's invariants are recomputed, and its results are compared with the simulator's own records: each sequence's tokens must be
// those of a pure function of its history and adapter, which they are only if every page held the right contents, and a policy must see
// every sequence as it is and be charged for exactly what was done. One thread; a run is a function of its options.
class Simulator {
 public:
  explicit Simulator(const SimulationOptions& options);

  // `step_count` steps, then no more requests until everything has ended and all caches are cleared.
  [[nodiscard]] SimulationReport run(std::uint64_t step_count);

 private:
  // The expected output of one request, computed before it runs.
  struct Stream {
    SequenceRequest request;
    std::int32_t earlier_prompt_count = -1;  // see SimulatedRequest
    std::vector<TokenId> tokens;             // prompt and the whole output
    std::vector<std::uint64_t> digests;      // [known inputs] after each position
    EndReason end = EndReason::length;
    std::int32_t output_count = 0;  // tokens of the whole output
    std::int32_t emitted_count = 0;
    std::int32_t planned_end = 0;   // of its latest span
    std::int32_t scored_count = 0;  // positions of its prompt
    int restart_count = 0;
    std::optional<RowOutcome> suspended;  // how it will go on
    bool is_started = false, is_cancelled = false;
    std::uint64_t arrival_step = 0;
    std::uint64_t last_plan = 0;
  };
  struct OpenPlan {
    StepPlan plan;
    std::vector<TenantId> tenants;  // of its spans
    StepResult result;
    bool has_run = false;
  };
  struct Load {
    AdapterId adapter;
    std::uint64_t done_step;
  };
  struct Pin {
    std::uint32_t page_count = 0;
    bool has_come = false;
  };
  enum class Arrivals : std::uint8_t { open, closed };

  void step(Arrivals arrivals);
  void arrive();
  void add(SimulatedRequest drawn);
  void cancel_some();
  void replace_some();
  void pin_some();
  void unpin_some();
  void progress_loads();
  void fail_load(AdapterId adapter);

  void schedule();
  std::size_t note_shared(const AdapterLoad& load);
  void add_to_digest(const StepPlan& plan);
  void check_charges(std::span<const ServiceCharge> charges);
  void check_view(const StepView& view);
  void check_decision(const StepView& view, const StepDecision& decision);
  void check_views(std::span<const SequenceView> views, bool (*is_right)(const SequenceView&));
  void check_precedence(const StepView& view);
  void check_promises(const StepView& view);
  void check_plan(const StepPlan& plan);
  void check_pages(const StepPlan& plan);
  void check_shared_pages(const AdapterLoad& load, const StepPlan& plan);
  void check_overtaking(const Stream& started, const std::set<std::uint64_t>& in_plan);
  void note_span(Stream& stream, const PlannedSpan& span, std::uint64_t plan_index);
  void note_scores(Stream& stream, const PlannedSpan& span);
  void run_open_plans(std::size_t count);
  void check_span(const PlannedSpan& span, std::uint64_t digest);
  void commit();
  void suspend_some(OpenPlan& open);
  void resume_some();
  void settle(const PlannedSpan& span, const StepResult& result);
  void take_ends();
  void check_end(const SequenceEnd& end);
  void check_sound();
  void check_retired();
  void check_pinned(const StepPlan& plan);
  void check_unused();
  // Pages of an image with those that it shares.
  [[nodiscard]] std::uint32_t pages_in_all(AdapterId adapter) const;
  // Pages that all other pinned adapters take next to it.
  [[nodiscard]] std::uint32_t pages_pinned_besides(AdapterId adapter) const;
  void check_empty();

  [[nodiscard]] std::unique_ptr<Policy> make_probed_policy();
  [[nodiscard]] Stream make_stream(const SequenceRequest& request) const;
  [[nodiscard]] bool is_open(const Stream& stream) const { return !open_.empty() && stream.last_plan >= open_.front().plan.index; }
  void saw(Situation situation) { ++report_.situations[static_cast<std::size_t>(situation)]; }
  void expect(bool holds, std::string_view what, std::uint64_t subject = 0);

  const SimulationOptions options_;
  SimulatedRandom random_;
  SimulatedWorkload workload_;
  SimulatedDevice device_;
  ExpectedCharges charges_;
  FairnessCheck fairness_;
  const FairSharePolicy* fair_share_ = nullptr;  // the scheduler's, if it is that policy
  GroupingCheck grouping_;
  Scheduler scheduler_;
  std::map<std::uint64_t, Stream> live_;
  std::deque<OpenPlan> open_;   // uncommitted
  StepResult previous_result_;  // of the plan that ran last
  std::vector<Load> loads_;
  std::map<AdapterId, std::uint32_t> page_counts_;  // of every content
  std::map<AdapterId, std::uint64_t> load_plans_;   // the plan that began the latest load
  std::set<AdapterId> retired_, evicted_once_, failed_once_;
  std::map<AdapterId, Pin> pinned_;
  bool pin_waits_ = false;                       // one of them, for pages, since the latest schedule()
  std::map<AdapterId, std::uint64_t> named_at_;  // the step in which a sequence or a pin named it last
  std::vector<SequenceEnd> ends_;                // reported, not yet checked
  AdapterId failing_ = kNoAdapter;               // whose sequences may end with adapter_failed now
  std::vector<std::uint64_t> digests_;
  SchedulerStats before_;                   // the latest schedule()
  std::set<SequenceId> computing_prompts_;  // running with a resident adapter and more than one token to compute, likewise
  std::set<SequenceId> generating_;     // running with a resident adapter and one token to compute, at the start of the latest schedule()
  std::int64_t prompt_tokens_max_ = 0;  // that the policy allowed the latest plan
  SequenceId oldest_{};                 // running at the start of the latest schedule()
  bool oldest_computes_ = false;        // it had tokens to compute then, and its adapter was resident
  std::set<SequenceId> queue_, overtaken_, preempted_;  // at the start of the latest schedule()
  std::set<SequenceId> charged_for_load_;               // since the latest schedule()
  std::set<SequenceId> past_deadline_;                  // in the queue then
  std::set<SequenceId> tried_;  // in the queue then, of the newest arrival and before their deadlines, when nothing ran
  std::uint64_t given_up_count_ = 0;
  SimulationReport report_;
};

}  // namespace slora
