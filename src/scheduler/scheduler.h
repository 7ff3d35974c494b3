#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "memory/page_budget.h"
#include "memory/paged_memory.h"
#include "memory/stress.h"
#include "scheduler/policy_caller.h"
#include "scheduler/request.h"
#include "scheduler/sequence.h"
#include "scheduler/step_plan.h"
#include "scheduler/waiting_line.h"

namespace slora {

struct SchedulerOptions {
  std::uint32_t page_count = 0;
  std::int32_t page_tokens = 16;
  std::int32_t step_tokens_max = 512;  // tokens of one step, decode and prefill together
  // Sequences of one step: its places. As many more may be admitted whose adapter is loading, or that pause while others have the places.
  // At most step_tokens_max.
  std::int32_t running_max = 256;
  std::size_t waiting_max = 1024;  // sequences in the queue
  std::size_t waiting_tokens_max = 1 << 22;
  std::int32_t overtaken_max = 32;  // sequences that may be admitted past one that does not fit, if the policy passes it over; positive
  int depth = 1;                    // plans that may be uncommitted at once: 1 or 2
  CacheCosts costs;                 // of eviction
  EvictionPolicy eviction = EvictionPolicy::cost_aware;
  std::size_t prefetched_sequences = 8;      // next in line, whose adapters are loaded ahead; 0: none
  std::uint32_t adapter_pages_separate = 0;  // see PagedMemoryOptions; 0: adapters and KV cache share all pages
  Timestamp adapter_idle_time{0};            // an image that nobody used for so long leaves the pool; 0: when its pages are needed
  std::int32_t sequence_tokens_max = 0;      // of prompt and output; pinned adapters leave pages for so much
  PrefixHash prefix_hash = PrefixHash::tokens;
  // For tests: in every N-th step the last running sequence is preempted though there are pages. 0: never.
  std::uint64_t preempted_every = kStressMode == StressMode::force_preempt ? 3 : 0;
};

struct SchedulerStats {
  std::size_t running = 0;  // sequences that take part in steps
  std::size_t loading = 0;  // admitted sequences whose adapter is still loading
  std::size_t waiting = 0;  // sequences in the line, preempted ones included
  std::size_t waiting_tokens = 0;
  std::uint64_t given_up = 0;  // sequences that the policy gave up in the queue
  std::uint64_t preemptions = 0, prefix_query_tokens = 0, prefix_hit_tokens = 0, adapter_loads = 0, adapter_evictions = 0,
                prefix_evictions = 0;
  std::uint64_t adapter_prefetches = 0;  // of the loads, those ahead of an admission
  std::uint64_t adapter_pages_loaded = 0;
  std::size_t adapters_pinned = 0;
  std::uint32_t pages_pinned = 0;     // of their images, which may not have come yet
  std::uint32_t pages_promised = 0;   // to admitted sequences, which do not hold them yet
  std::uint32_t pages_available = 0;  // that a sequence may take: free ones, and cached ones that nothing pins
  // Admissions of sequences with an adapter, preempted ones not counted again; those whose adapter was resident then.
  std::uint64_t adapter_queries = 0, adapter_hits = 0;
  std::uint32_t pages_total = 0, pages_free = 0, pages_sequence = 0, pages_prefix = 0, pages_adapter = 0;
  std::uint32_t pages_evictable = 0;  // cached pages that nothing pins
};

// Decides, step by step, which sequences run and on which pages. Pure: it is given the time, and owns no clock, thread, file or device.
// Owned by the engine, used on its thread. Protocol per step: schedule(), take_evicted_adapters(), start the plan's loads, run the plan,
// commit(); with depth 2 one more schedule() may come before the commit. An empty plan is not committed.
//
// Laws, whatever the policy decides:
// - The oldest running sequence is never preempted, and advances in every step once its adapter is resident, unless it is suspended or has
//   to know its latest token (Continuation). It waits only for pages of an uncommitted plan, for pages of a load that has not landed, and
//   for reserved sequences, which need nothing more to end.
// - A sequence is preempted at most kPreemptionsMax times; then it is admitted again only with its worst case reserved. Preempted sequences
//   are tried before the queue and are never overtaken for pages, unless they are suspended.
// - A waiting sequence is overtaken for pages when it was tried and did not fit, and another is admitted after it in the same step. That
//   happens only if the policy passes it over, and for at most overtaken_max sequences. From then on it comes directly after
//   the preempted ones, and no other sequence of the queue is admitted before it. It starts at the latest when the loads under way have
//   landed and those have ended that then run, were preempted, or came to this bound with it. Until then nothing bounds how often the
//   policy tries others before a sequence, or does not try it.
// - A sequence whose adapter is loading is passed by others.
// - A load ahead of an admission takes no page that is promised to an admitted sequence.
// - A pinned adapter stays from its landing until it is unpinned or retired. While it waits for pages, nobody is admitted and nothing
//   else is loaded.
class Scheduler {
 public:
  Scheduler(const SchedulerOptions& options, std::unique_ptr<Policy> policy);
  ~Scheduler();

  // Queues the sequence. Refused with code "queue_full" (try later) or "never_fits" (prompt, output and adapter exceed the
  // empty pool).
  [[nodiscard]] Status add(SequenceRequest request);
  // In any state; the end is reported by the next commit() or take_ended(). Unknown ids are ignored: the sequence may have just ended.
  void cancel(SequenceId id);

  // Fills `plan` with the next step at time `now`. An empty plan may still carry loads.
  void schedule(StepPlan& plan, Timestamp now);
  // Closes the oldest uncommitted plan and appends the sequences that ended to `ended`.
  void commit(const StepPlan& plan, const StepResult& result, std::vector<SequenceEnd>& ended);
  // How a suspended sequence goes on: as a row with this outcome, which is not `suspended` again. Unknown ids are ignored.
  void resume(SequenceId id, RowOutcome outcome);
  // Appends the ends that are not reported yet: cancellations, failed loads, sequences given up.
  void take_ended(std::vector<SequenceEnd>& ended);

  // The error that clients get whose sequences end with EndReason::given_up.
  [[nodiscard]] Error given_up_error() const { return policy_.given_up_error(); }

  // The image of a load is complete: its sequences may run.
  void adapter_landed(AdapterId adapter);
  // The load failed: its pages are free again, and the adapter's sequences end with adapter_failed.
  void adapter_failed(AdapterId adapter);
  // No new request will name this content: its image and prefixes are dropped as soon as nothing uses them.
  void retire_adapter(AdapterId adapter);
  // The adapter is loaded as soon as there are pages for it, and is not evicted until it is unpinned or retired or its load has failed.
  // "pin_does_not_fit" when next to all pinned adapters there would be too few pages for a sequence of sequence_tokens_max, or for one
  // that is there. Requires: not retired.
  [[nodiscard]] Status pin_adapter(AdapterId adapter, std::uint32_t page_count, std::vector<SharedImage> shared = {});
  // Does nothing when it is not pinned.
  void unpin_adapter(AdapterId adapter);
  // For a resident adapter, until it leaves the pool: used instead of SchedulerOptions::adapter_idle_time. Nothing: the option's again.
  void set_adapter_idle_time(AdapterId adapter, std::optional<Timestamp> time) { memory_.adapters().set_idle_time(adapter, time); }
  // Lets those leave the pool that were idle for so long. schedule() does it too; for an engine that plans nothing for a while.
  void evict_unused_adapters(Timestamp now);
  // Appends the adapters and the shared images that left the pool since the last call; the engine drops the adapters' views.
  void take_evicted_adapters(std::vector<AdapterId>& evicted);

  // Prompt tokens of this sequence that were read from the prefix cache at its latest admission.
  [[nodiscard]] std::int32_t cached_tokens(SequenceId id) const;
  // Pages that the image and the cached prefixes of this content hold. O(pages of the pool).
  [[nodiscard]] std::uint32_t pages_of_adapter(AdapterId adapter) const;
  // That hold nothing anybody will read. For tests.
  [[nodiscard]] std::span<const PageIndex> free_pages() const { return memory_.pool().free_pages(); }
  // Who holds which page.
  [[nodiscard]] const PagePool& pages() const { return memory_.pool(); }
  [[nodiscard]] SchedulerStats stats() const;
  // Drops all cached prefixes and idle adapters. Requires: every sequence has ended and every plan is committed.
  void clear_caches();
  // Recomputes every page's owner and every count from scratch and returns the first difference, or nothing. For tests.
  [[nodiscard]] std::string check_invariants() const;

 private:
  static constexpr std::int32_t kPreemptionsMax = 3;  // then a sequence comes back only with its worst case reserved
  static constexpr std::int32_t kPassedOverMax = 16;  // sequences of one step that are passed over, whatever the policy says

  // Holdings of sequences that ended or were preempted, kept until the plan is committed: the device may still read or write them.
  struct UncommittedPlan {
    std::uint64_t index;
    std::int64_t prompt_tokens;
    std::vector<Holdings> kept;
  };
  // An adapter that the operator keeps in the pool.
  struct Pin {
    AdapterId adapter;
    std::uint32_t page_count;
    std::vector<SharedImage> shared;
    AdapterInterest interest;  // of the hold: `named` until there are pages for it
    AdapterHold hold;
  };
  struct Ranked {
    Sequence* sequence;
    const SequenceView* view;
  };
  struct Choice {
    Sequence* sequence;
    std::int32_t token_count;
    bool is_cut;  // by the policy's share
  };
  // What schedule() has decided so far. The vectors keep their capacity from step to step.
  struct Step {
    std::vector<SequenceView> running_views;  // oldest first
    std::vector<Ranked> running;              // in the order to serve; the last is preempted first
    std::vector<Sequence*> line;              // waiting, in the order to try
    std::vector<Sequence*> given_up;
    std::vector<Sequence*> passed_over;  // did not fit; those after them may still be tried
    std::int32_t passed_over_max = 0;
    std::size_t places_kept = 0;   // for the queue
    std::size_t paused_begin = 0;  // in `running`: from here on they have no place yet
    std::size_t paused_count = 0;  // of these, those that could run
    std::vector<Choice> chosen;
    std::vector<AdapterLoad> loads;
    std::int32_t prompt_tokens_max = 0;  // that the policy allows
    std::int32_t prompt_tokens_left = 0;
    std::int32_t single_tokens_left = 0;  // for sequences that compute one token, as they were counted at first
    bool is_short_of_pages = false;       // a running sequence, or the first in the line, did not get the pages it needs
  };

  void decide(Timestamp now);
  void admit_running();
  void load_pinned();
  void admit_waiting();
  void resume_paused();
  void share_rest();
  void prefetch();
  void plan(StepPlan& out);

  // Gives the sequences from paused_begin on their next tokens, as far as there are places.
  void serve_running(std::size_t place_count);
  // The token of a running sequence that computes one; 0 if none is left.
  [[nodiscard]] std::int32_t try_take_single_token();
  // Prompt tokens of this step that the policy lets this sequence take; at least `least`, and one if nothing is chosen yet. 0 if none are
  // left.
  [[nodiscard]] std::int32_t prompt_share(const SequenceView& view, std::int32_t least);
  // Sees to a page for the next token of the running sequence at this place, by preempting sequences after it.
  void make_space(std::size_t place);
  [[nodiscard]] bool try_preempt_after(std::size_t place);
  void preempt(Sequence& victim);
  // Takes pages for up to `wanted` tokens and returns for how many there are pages now.
  [[nodiscard]] std::int32_t grow(Sequence& sequence, std::int32_t wanted);
  [[nodiscard]] bool try_admit(Sequence& sequence, std::int32_t share);
  [[nodiscard]] bool try_pass_over(Sequence& sequence);
  // False when one of them may not be overtaken any more.
  [[nodiscard]] bool count_overtaking();
  // Puts a load that has begun into the plan.
  void add_load(const AdapterNeeds& needs);
  // The first sequence that is admitted after a load pays for it.
  void charge_load(const SequenceRequest& request);
  // Whether what may run can still run next to all pinned adapters.
  [[nodiscard]] Status check_pins() const;
  // Pages of all pinned adapters but this one, without those of shared images that it needs itself.
  [[nodiscard]] std::uint32_t pages_pinned_besides(const AdapterNeeds& needs) const;

  void settle(Sequence& sequence, const PlannedSpan& span, const StepResult& result);
  void apply(Sequence& sequence, RowOutcome outcome);
  void store_full_pages(Sequence& sequence, std::int32_t computed_count);
  // Lists that belong to the sequence of this request, without pages.
  [[nodiscard]] Holdings no_holdings(const SequenceRequest& request);
  void release(Sequence& sequence);
  void end(Sequence& sequence, EndReason reason);
  void forget(Sequence& sequence, EndReason reason);
  std::int64_t charge_span(Sequence& sequence, std::int32_t begin, std::int32_t end);

  [[nodiscard]] SequenceView make_view(const Sequence& sequence) const;
  [[nodiscard]] Sequence* find(SequenceId id) const;
  [[nodiscard]] UncommittedPlan* uncommitted_plan_of(const Sequence& sequence);
  [[nodiscard]] bool pages_are_coming_back() const;
  [[nodiscard]] std::size_t loading_sequence_count() const;
  [[nodiscard]] std::size_t slot_count() const {
    return static_cast<std::size_t>(std::min(options_.running_max, options_.step_tokens_max));
  }
  [[nodiscard]] bool has_space(const Sequence& sequence) const;  // for one more token
  [[nodiscard]] std::uint32_t pages_for(std::int32_t token_count) const;
  [[nodiscard]] std::uint32_t worst_pages(const Sequence& sequence) const { return pages_for(sequence.tokens_max()); }
  [[nodiscard]] bool is_reserved(const Sequence& sequence) const { return sequence.preemption_count >= kPreemptionsMax; }
  [[nodiscard]] std::uint32_t pages_to_promise(const Sequence& sequence) const;
  [[nodiscard]] std::string check_sequence(const Sequence& sequence) const;
  [[nodiscard]] std::string check_view(const Sequence& sequence) const;
  [[nodiscard]] std::string check_counts() const;

  const SchedulerOptions options_;
  PagedMemory memory_;  // outlives all that holds pages, below
  PageBudget budget_;
  std::vector<Pin> pins_;
  std::uint32_t pages_pinned_ = 0;
  Timestamp unused_looked_at_{};  // for adapters that nobody uses
  std::unordered_map<SequenceId, std::unique_ptr<Sequence>> sequences_;
  std::vector<Sequence*> running_;  // oldest first
  WaitingLine line_;
  std::vector<UncommittedPlan> uncommitted_;  // oldest first, at most options_.depth
  PolicyCaller policy_;
  Step step_;
  std::vector<SequenceEnd> ended_;  // not yet reported
  std::uint64_t next_serial_ = 1;
  std::uint64_t next_plan_ = 1;
  SchedulerStats totals_;  // only its running totals
};

// All pages of an image with those that it shares.
[[nodiscard]] std::uint32_t pages_in_all(const AdapterNeeds& needs);

// Tokens of one sequence (prompt and output together) that fit in the pool next to an adapter of this size and pinned ones, if it is
// otherwise empty.
[[nodiscard]] std::int64_t tokens_that_fit(const SchedulerOptions& options, std::uint32_t adapter_page_count,
                                           std::uint32_t pinned_page_count = 0);

}  // namespace slora
