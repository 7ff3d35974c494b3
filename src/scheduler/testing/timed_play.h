#pragma once
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <unordered_set>
#include <utility>
#include <vector>

#include "scheduler/scheduler.h"

namespace slora {

// What a step of a modelled device takes. The default is near a model of 0.5 billion parameters on two cores.
struct StepCosts {
  Timestamp step = std::chrono::milliseconds(20);
  Timestamp prompt_token = std::chrono::microseconds(1000);
  Timestamp output_token = std::chrono::microseconds(1500);
  Timestamp adapter_page = {};  // of each distinct adapter of the step
  Timestamp load = {};          // from the plan of an adapter's load to its landing
  // Steps that begin in [slow_begin, slow_end) take this many times as long.
  Timestamp slow_begin = {}, slow_end = {};
  std::int64_t slow_factor = 1;
};

// For tests: a scheduler on a device whose steps take modelled time, with requests that arrive at given times.
class TimedPlay {
 public:
  TimedPlay(const SchedulerOptions& options, std::unique_ptr<Policy> policy, const StepCosts& costs)
      : costs_(costs), scheduler_(options, std::move(policy)) {}

  // Requires: not before the request that was added before.
  void add(SequenceRequest request, Timestamp arrival) {
    request.arrival = arrival;
    arrivals_.push_back(std::move(request));
  }
  // Until all have ended, or `until`.
  void run(Timestamp until = Timestamp::max()) {
    while (now_ < until && (next_ < arrivals_.size() || live_count_ > 0)) {
      if (live_count_ == 0) now_ = std::max(now_, arrivals_[next_].arrival);
      step();
    }
  }

  // From its arrival on; none if it was given up.
  [[nodiscard]] std::optional<Timestamp> first_token_time(SequenceId id) const {
    const auto found = first_tokens_.find(id);
    return found == first_tokens_.end() ? std::nullopt : std::optional(found->second);
  }
  [[nodiscard]] std::size_t given_up_count() const { return scheduler_.stats().given_up; }
  [[nodiscard]] Timestamp now() const { return now_; }

 private:
  void step() {
    for (; next_ < arrivals_.size() && arrivals_[next_].arrival <= now_; ++next_) {
      arrival_of_[arrivals_[next_].id] = arrivals_[next_].arrival;
      ASSERT_TRUE(scheduler_.add(std::move(arrivals_[next_])));
      ++live_count_;
    }
    while (!loads_.empty() && loads_.begin()->first <= now_) {
      scheduler_.adapter_landed(loads_.begin()->second);
      loads_.erase(loads_.begin());
    }
    scheduler_.schedule(plan_, now_);
    for (const AdapterLoad& load : plan_.loads) loads_.emplace(now_ + costs_.load, load.adapter);
    if (plan_.empty()) {
      take_ended();
      if (!loads_.empty()) now_ = std::max(now_, loads_.begin()->first);
      return;
    }
    StepResult result{.rows = {}, .elapsed = time_of_plan()};
    now_ += result.elapsed;
    result.rows.resize(static_cast<std::size_t>(plan_.output_row_count), {7, RowOutcome::goes_on});
    for (const PlannedSpan& span : plan_.spans)
      if (span.output_row >= 0) first_tokens_.try_emplace(span.sequence, now_ - arrival_of_[span.sequence]);
    scheduler_.commit(plan_, result, ended_);
    take_ended();
  }
  void take_ended() {
    scheduler_.take_ended(ended_);
    live_count_ -= ended_.size();
    ended_.clear();
  }
  [[nodiscard]] Timestamp time_of_plan() const {
    Timestamp time = costs_.step;
    std::unordered_set<AdapterId> adapters;
    for (const PlannedSpan& span : plan_.spans) {
      time += span.token_count == 1 ? costs_.output_token : span.token_count * costs_.prompt_token;
      if (span.adapter != kNoAdapter && adapters.insert(span.adapter).second)
        time += scheduler_.pages_of_adapter(span.adapter) * costs_.adapter_page;
    }
    return now_ >= costs_.slow_begin && now_ < costs_.slow_end ? costs_.slow_factor * time : time;
  }

  const StepCosts costs_;
  Scheduler scheduler_;
  std::vector<SequenceRequest> arrivals_;
  std::size_t next_ = 0, live_count_ = 0;
  std::map<SequenceId, Timestamp> arrival_of_, first_tokens_;
  std::multimap<Timestamp, AdapterId> loads_;
  std::vector<SequenceEnd> ended_;
  StepPlan plan_;
  Timestamp now_{};
};

}  // namespace slora
