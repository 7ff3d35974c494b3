#pragma once
#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "scheduler/policies/fcfs.h"
#include "scheduler/scheduler.h"

namespace slora {

// Acts as the engine: every output row yields token 7 unless a test says otherwise, and the invariants are checked after every call.
class Play {
 public:
  explicit Play(const SchedulerOptions& options, std::unique_ptr<Policy> policy = std::make_unique<FcfsPolicy>())
      : scheduler(options, std::move(policy)) {}
  ~Play() { EXPECT_EQ(scheduler.check_invariants(), ""); }

  static SequenceRequest request(std::uint64_t id, std::vector<TokenId> prompt, std::int32_t output_tokens_max) {
    return {.id = SequenceId{id}, .tenant = {}, .client = {}, .prompt = std::move(prompt), .output_tokens_max = output_tokens_max};
  }
  Status add(std::uint64_t id, std::int32_t prompt_count, std::int32_t output_tokens_max, std::uint64_t adapter = 0,
             std::uint32_t pages = 0) {
    std::vector<TokenId> prompt(static_cast<std::size_t>(prompt_count));
    std::iota(prompt.begin(), prompt.end(), static_cast<TokenId>(id * 1000));
    SequenceRequest wanted = request(id, std::move(prompt), output_tokens_max);
    wanted.adapter = AdapterId{adapter};
    wanted.adapter_page_count = pages;
    return add(std::move(wanted));
  }
  Status add(SequenceRequest request) {
    request.arrival = Timestamp{arrival++};
    Status status = scheduler.add(std::move(request));
    expect_sound();
    return status;
  }

  const StepPlan& schedule() {
    StepPlan plan;
    scheduler.schedule(plan, Timestamp{});
    expect_sound();
    latest = plan;
    if (!plan.empty()) open.push_back(plan);
    return latest;
  }
  void commit(const std::vector<std::pair<std::uint64_t, RowOutcome>>& outcomes = {}, Timestamp elapsed = {}) {
    ASSERT_FALSE(open.empty());
    const StepPlan plan = std::move(open.front());
    open.pop_front();
    StepResult result;
    result.rows.resize(static_cast<std::size_t>(plan.output_row_count), RowResult{7, RowOutcome::goes_on});
    for (const PlannedSpan& span : plan.spans)
      for (const auto& [id, outcome] : outcomes)
        if (span.sequence.value == id && span.output_row >= 0) result.rows[static_cast<std::size_t>(span.output_row)].outcome = outcome;
    result.elapsed = elapsed;
    scheduler.commit(plan, result, ended);
    expect_sound();
  }
  const StepPlan& step(const std::vector<std::pair<std::uint64_t, RowOutcome>>& outcomes = {}) {
    schedule();
    if (!latest.empty()) commit(outcomes);
    return latest;
  }
  void run_dry(int steps_max = 1000) {
    for (int i = 0; i < steps_max && live_count() > 0; ++i) {
      step();
      for (const AdapterLoad& load : latest.loads) scheduler.adapter_landed(load.adapter);
    }
    scheduler.take_ended(ended);
    EXPECT_EQ(live_count(), 0u);
  }

  // (sequence, tokens) of the latest plan.
  std::vector<std::pair<std::uint64_t, std::int32_t>> spans() const {
    std::vector<std::pair<std::uint64_t, std::int32_t>> out;
    for (const PlannedSpan& span : latest.spans) out.emplace_back(span.sequence.value, span.token_count);
    return out;
  }
  std::vector<std::pair<std::uint64_t, EndReason>> take_ended() {
    scheduler.take_ended(ended);
    std::vector<std::pair<std::uint64_t, EndReason>> out;
    for (const SequenceEnd& end : ended) out.emplace_back(end.id.value, end.reason);
    ended.clear();
    return out;
  }
  std::size_t live_count() const {
    const SchedulerStats stats = scheduler.stats();
    return stats.running + stats.loading + stats.waiting;
  }
  void expect_sound() { EXPECT_EQ(scheduler.check_invariants(), ""); }

  Scheduler scheduler;
  StepPlan latest;
  std::deque<StepPlan> open;
  std::vector<SequenceEnd> ended;
  std::int64_t arrival = 0;
};

inline SchedulerOptions small_options() {
  SchedulerOptions options;
  options.page_count = 16;
  options.page_tokens = 4;
  options.step_tokens_max = 16;
  options.running_max = 8;
  options.preempted_every = 0;  // these tests say when
  return options;
}

using Spans = std::vector<std::pair<std::uint64_t, std::int32_t>>;
using Ends = std::vector<std::pair<std::uint64_t, EndReason>>;

}  // namespace slora
