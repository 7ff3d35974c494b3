#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "scheduler/policy.h"
#include "scheduler/request.h"
#include "scheduler/step_plan.h"

namespace slora {

struct SchedulerOptions {
  std::uint32_t page_count = 0;
  std::int32_t page_tokens = 16;
  std::int32_t step_tokens_max = 512;      // tokens of one step, decode and prefill together
  std::int32_t running_max = 256;          // sequences in one step
  std::size_t waiting_max = 1024;          // sequences in the queue
  std::size_t waiting_tokens_max = 1 << 22;
  int depth = 1;                           // plans that may be uncommitted at once: 1 or 2
};

struct SchedulerStats {
  std::size_t running = 0, waiting = 0, loading = 0;
  std::size_t waiting_tokens = 0;
  std::uint64_t preemptions = 0, prefix_query_tokens = 0, prefix_hit_tokens = 0, adapter_loads = 0, adapter_evictions = 0, prefix_evictions = 0;
  std::uint32_t pages_total = 0, pages_free = 0, pages_sequence = 0, pages_prefix = 0, pages_adapter = 0;
};

// Decides, step by step, who runs and with what pages. Pure: told the time, it owns no clock, thread, file or device.
// One owner and thread: the engine's. Protocol per step: schedule(), run the plan, commit(); with depth 2 one more
// schedule() may come before the commit.
class Scheduler {
 public:
  Scheduler(const SchedulerOptions& options, std::unique_ptr<Policy> policy);
  ~Scheduler();

  // Queues the sequence. Refused with code "queue_full" (try later) or "never_fits" (prompt, output and adapter exceed the
  // empty pool).
  [[nodiscard]] Status add(SequenceRequest request);
  // In any state; its end is reported by the next commit() or take_ended(). Unknown ids are ignored (it may have just ended).
  void cancel(SequenceId id);

  // Fills `plan` with the next step at time `now`. An empty plan may still carry loads.
  void schedule(StepPlan& plan, Timestamp now);
  // Closes the oldest uncommitted plan and appends the sequences that ended to `ended`.
  void commit(const StepPlan& plan, const StepResult& result, std::vector<SequenceEnd>& ended);
  // Appends ends that happened outside of a commit (cancelled in the queue, adapter failures).
  void take_ended(std::vector<SequenceEnd>& ended);

  // The image of a load has landed: its sequences may run.
  void adapter_landed(AdapterId adapter);
  // The load failed: its pages are free again, the sequences that asked for it end with adapter_failed.
  void adapter_failed(AdapterId adapter);
  // No new request will name this content: image and prefixes go as soon as nobody uses them.
  void retire_adapter(AdapterId adapter);
  // Adapters whose image left the pool since the last call (their views may be dropped).
  void take_evicted_adapters(std::vector<AdapterId>& evicted);

  // How many prompt tokens of this sequence were read from the prefix cache at its (last) admission.
  [[nodiscard]] std::int32_t cached_tokens(SequenceId id) const;
  [[nodiscard]] SchedulerStats stats() const;
  // Requires: every sequence has ended. Gives back all cached prefixes and idle adapters (drain, tests).
  void clear_caches();
  // Recomputes every page's owner and every count from scratch and compares; a text naming the first difference, or empty. For tests
  // and the simulator.
  [[nodiscard]] std::string check_invariants() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Tokens of one sequence (prompt and output together) that fit a pool of `page_count` pages beside an adapter.
[[nodiscard]] std::int64_t tokens_that_fit(const SchedulerOptions& options, std::uint32_t adapter_page_count);

}  // namespace slora
