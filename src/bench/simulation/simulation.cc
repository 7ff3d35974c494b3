#include "bench/simulation/simulation.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>
#include <utility>

#include "base/check.h"

namespace slora::bench {
namespace {

constexpr std::size_t kProgressSteps = 256;  // between two calls of SimulationProgress

Timestamp timestamp_of(double seconds) { return Timestamp{std::llround(seconds * 1e9)}; }

AdapterId adapter_of(const TraceRequest& request) { return AdapterId{static_cast<std::uint64_t>(request.adapter + 1)}; }

// One run, from the first arrival to the last end. The sequence of a request has its index + 1 as its id.
class SimulationRun {
 public:
  SimulationRun(const Trace& trace, const SimulationSetup& setup, std::unique_ptr<Policy> policy)
      : trace_(trace),
        setup_(setup),
        cost_(setup.model, setup.device, ranks_of(trace, setup), setup.compute),
        scheduler_(setup.scheduler, std::move(policy)) {
    if (setup.released) router_.emplace(*setup.released);
    for (std::size_t i = 0; i < trace.requests.size(); ++i)
      outcome_.served.push_back({.request = static_cast<std::int32_t>(i), .arrival = trace.requests[i].arrival});
  }

  SimulationOutcome run(const SimulationProgress& progress) {
    while (ended_count_ < trace_.requests.size()) {
      deliver_arrivals();
      land_loads();
      if (router_) route();
      scheduler_.schedule(plan_, now_);
      evicted_.clear();
      scheduler_.take_evicted_adapters(evicted_);
      start_loads();
      if (!plan_.empty()) {
        run_step();
      } else {
        ends_.clear();
        scheduler_.take_ended(ends_);
        settle_ends();
        if (!advance()) break;
      }
      if (progress && ++calls_ % kProgressSteps == 0 && !progress(share())) break;
    }
    outcome_.seconds = seconds(now_);
    outcome_.stats = scheduler_.stats();
    return std::move(outcome_);
  }

 private:
  struct Load {
    AdapterId adapter;
    Timestamp done;
  };

  static std::vector<std::int32_t> ranks_of(const Trace& trace, const SimulationSetup& setup) {
    std::vector<std::int32_t> ranks(static_cast<std::size_t>(trace.adapter_count));
    for (std::size_t i = 0; i < ranks.size(); ++i) ranks[i] = setup.ranks[i % setup.ranks.size()];
    return ranks;
  }

  [[nodiscard]] double share() const { return static_cast<double>(ended_count_) / static_cast<double>(trace_.requests.size()); }

  // Of a padded product, every image is as large as the largest.
  [[nodiscard]] std::uint32_t adapter_pages(std::int32_t adapter) const {
    if (adapter < 0) return 0;
    const std::int32_t rank = setup_.compute == AdapterCompute::padded
                                  ? *std::ranges::max_element(setup_.ranks)
                                  : setup_.ranks[static_cast<std::size_t>(adapter) % setup_.ranks.size()];
    return setup_.model.adapter_pages(rank);
  }

  void deliver_arrivals() {
    for (; next_arrival_ < trace_.requests.size(); ++next_arrival_) {
      const TraceRequest& request = trace_.requests[next_arrival_];
      if (timestamp_of(request.arrival) > now_) return;
      const auto index = static_cast<std::int32_t>(next_arrival_);
      if (!router_) {
        add(index);
        continue;
      }
      router_->add({.index = index,
                    .adapter = adapter_of(request),
                    .adapter_tokens = std::int64_t{adapter_pages(request.adapter)} * setup_.scheduler.page_tokens,
                    .input_tokens = request.input_tokens,
                    .output_tokens = request.output_tokens,
                    .arrival = request.arrival});
    }
  }

  void add(std::int32_t index) {
    const TraceRequest& request = trace_.requests[static_cast<std::size_t>(index)];
    const Timestamp arrival = timestamp_of(request.arrival);
    // No prompt begins as another does, so that nothing is read from the prefix cache.
    const Status added = scheduler_.add({.id = SequenceId{static_cast<std::uint64_t>(index) + 1},
                                         .tenant = {},
                                         .client = ClientId{static_cast<std::uint64_t>(request.client) + 1},
                                         .arrival = arrival,
                                         .deadline = arrival + timestamp_of(setup_.slo_seconds),
                                         .prompt = std::vector<TokenId>(static_cast<std::size_t>(request.input_tokens), index),
                                         .output_tokens_max = request.output_tokens,
                                         .adapter = adapter_of(request),
                                         .adapter_page_count = adapter_pages(request.adapter)});
    if (!added) end(index, ServedEnd::aborted);
  }

  void route() {
    admitted_.clear();
    aborted_.clear();
    router_->route(seconds(now_), admitted_, aborted_);
    for (const std::int32_t index : aborted_) end(index, ServedEnd::aborted);
    for (const std::int32_t index : admitted_) add(index);
  }

  // One copy at a time, in the order of the plans.
  void start_loads() {
    for (const AdapterLoad& load : plan_.loads) {
      const double copy_seconds = cost_.load_seconds(load.adapter);
      copies_done_ = std::max(copies_done_, now_) + timestamp_of(copy_seconds);
      loads_.push_back({load.adapter, copies_done_});
      outcome_.copy_seconds += copy_seconds;
      outcome_.copied_bytes += cost_.load_bytes(load.adapter);
    }
  }

  void land_loads() {
    for (; !loads_.empty() && loads_.front().done <= now_; loads_.pop_front()) scheduler_.adapter_landed(loads_.front().adapter);
  }

  void run_step() {
    if (setup_.compute == AdapterCompute::merged) merge(plan_.spans.front().adapter);
    const StepWork work = cost_.work_of(plan_);
    const double step_seconds = cost_.step_seconds(work);
    spend(step_seconds);
    result_.elapsed = timestamp_of(step_seconds);
    ++outcome_.steps;
    if (router_) router_->count_step();
    outcome_.sequence_steps += static_cast<double>(plan_.spans.size());
    outcome_.adapter_steps += work.adapter_count;
    result_.rows.clear();
    for (const PlannedSpan& span : plan_.spans) {
      if (span.output_row < 0) continue;
      const auto index = static_cast<std::int32_t>(span.sequence.value - 1);
      result_.rows.push_back({.token = index});
      ServedRequest& served = outcome_.served[static_cast<std::size_t>(index)];
      if (served.output_tokens++ == 0) served.first_token = seconds(now_);
      served.last_token = seconds(now_);
      if (router_) router_->count_token(index);
    }
    ends_.clear();
    scheduler_.commit(plan_, result_, ends_);
    settle_ends();
  }

  // The step is of one adapter: the router sees to it.
  void merge(AdapterId adapter) {
    for (const PlannedSpan& span : plan_.spans) check(span.adapter == adapter, "expected a step of one merged adapter");
    if (adapter == merged_) return;
    if (merged_ != kNoAdapter) spend(cost_.merge_seconds(merged_));
    if (adapter != kNoAdapter) spend(cost_.merge_seconds(adapter));
    merged_ = adapter;
    ++outcome_.merges;
  }

  void spend(double step_seconds) {
    now_ += timestamp_of(step_seconds);
    outcome_.step_seconds += step_seconds;
  }

  void settle_ends() {
    for (const SequenceEnd& sequence : ends_) {
      const auto index = static_cast<std::int32_t>(sequence.id.value - 1);
      if (router_) router_->end(index);
      end(index, sequence.reason == EndReason::length ? ServedEnd::completed : ServedEnd::aborted);
    }
  }

  void end(std::int32_t index, ServedEnd end) {
    ServedEnd& known = outcome_.served[static_cast<std::size_t>(index)].end;
    check(known == ServedEnd::abandoned, "expected every request to end once");
    known = end;
    ++ended_count_;
  }

  // To the next event, when there is nothing to compute; false if none will come.
  bool advance() {
    Timestamp next = Timestamp::max();
    if (next_arrival_ < trace_.requests.size()) next = timestamp_of(trace_.requests[next_arrival_].arrival);
    if (!loads_.empty()) next = std::min(next, loads_.front().done);
    if (next == Timestamp::max()) {
      check(ended_count_ == trace_.requests.size(), "expected every request to have ended when nothing is left to happen");
      return false;
    }
    now_ = std::max(now_, next);
    return true;
  }

  const Trace& trace_;
  const SimulationSetup& setup_;
  CostModel cost_;
  Scheduler scheduler_;
  std::optional<ReleasedRouter> router_;
  SimulationOutcome outcome_;
  Timestamp now_{};
  std::size_t next_arrival_ = 0, ended_count_ = 0;
  std::uint64_t calls_ = 0;
  std::deque<Load> loads_;   // by time of landing
  Timestamp copies_done_{};  // when the last copy that was started is done
  AdapterId merged_ = kNoAdapter;
  StepPlan plan_;
  StepResult result_;
  std::vector<SequenceEnd> ends_;
  std::vector<AdapterId> evicted_;
  std::vector<std::int32_t> admitted_, aborted_;
};

}  // namespace

std::uint32_t pages_of_tokens(const ModelShape& model, std::int64_t tokens) {
  return static_cast<std::uint32_t>(tokens / model.page_tokens());
}

std::int64_t pool_tokens_of(const ModelShape& model, const DeviceModel& device) {
  constexpr double kUsedShare = 0.9;
  const double bytes = kUsedShare * device.memory_bytes - model.weight_bytes();
  return static_cast<std::int64_t>(std::max(bytes, 0.0) / model.kv_bytes_per_token());
}

Result<SimulationOutcome> simulate(const Trace& trace, const SimulationSetup& setup, const SimulationProgress& progress) {
  if (setup.ranks.empty() && trace.adapter_count > 0) return error("bad_option", "ranks: expected at least one");
  if (setup.compute == AdapterCompute::merged && !setup.released)
    return error("bad_option", "merged adapters: expected the router slora-merge, which keeps a batch to one adapter");
  PolicyOptions options = setup.policy;
  if (setup.released) options.name = "fcfs";
  Result<std::unique_ptr<Policy>> policy = make_policy(options);
  if (!policy) return forward_error(policy);
  for (std::size_t i = 0; i < trace.requests.size(); ++i) {
    const TraceRequest& request = trace.requests[i];
    if (request.input_tokens < 1 || request.output_tokens < 1 || request.adapter >= trace.adapter_count || request.adapter < -1) {
      return error("bad_trace", "Request {} of the trace: expected at least one token of input and output and an adapter below {}.", i,
                   trace.adapter_count);
    }
  }
  return SimulationRun(trace, setup, std::move(*policy)).run(progress);
}

}  // namespace slora::bench
