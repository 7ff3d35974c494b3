#include "bench/simulation/simulation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "bench/workload/workload.h"

namespace slora::bench {
namespace {

SimulationSetup make_small_setup(std::int64_t pool_tokens) {
  SimulationSetup setup;
  setup.model = *find_model_shape("Llama-7B");
  setup.device = *find_device_model("A10G");
  setup.ranks = {64, 8};
  setup.scheduler.page_tokens = setup.model.page_tokens();
  setup.scheduler.page_count = pages_of_tokens(setup.model, pool_tokens);
  setup.scheduler.step_tokens_max = 512;
  setup.scheduler.waiting_max = 1 << 20;
  setup.policy.name = "fcfs";
  return setup;
}

Trace make_test_trace(double cv, double rate, double seconds) {
  WorkloadOptions options;
  options.kind = WorkloadKind::slora_release;
  options.adapter_count = 50;
  options.cv = cv;
  options.rate = rate;
  options.seconds = seconds;
  return *make_workload(options);
}

std::int64_t nanoseconds_of(double seconds) { return std::llround(seconds * 1e9); }

// A prompt of 600 tokens for the base model is computed in two steps, then each token takes one.
TEST(Simulation, OneRequestTakesTheSumOfItsSteps) {
  const Trace trace = {.requests = {{.arrival = 2, .adapter = -1, .input_tokens = 600, .output_tokens = 3}}, .seconds = 2};
  const SimulationSetup setup = make_small_setup(4000);
  const SimulationOutcome outcome = *simulate(trace, setup);
  CostModel cost(setup.model, setup.device, {}, AdapterCompute::gathered);
  const auto step_seconds = [&](std::int32_t position, std::int32_t count, std::int32_t row) {
    StepPlan plan;
    plan.spans.push_back({SequenceId{1}, kNoAdapter, position, 0, count, 0, 0, row});
    plan.output_row_count = row + 1;
    return nanoseconds_of(cost.step_seconds(cost.work_of(plan)));
  };
  const std::int64_t first = 2'000'000'000 + step_seconds(0, 512, -1) + step_seconds(512, 88, 0);
  const std::int64_t last = first + step_seconds(600, 1, 0) + step_seconds(601, 1, 0);
  EXPECT_EQ(nanoseconds_of(outcome.served[0].first_token), first);
  EXPECT_EQ(nanoseconds_of(outcome.served[0].last_token), last);
  EXPECT_EQ(outcome.served[0].output_tokens, 3);
  EXPECT_EQ(outcome.served[0].end, ServedEnd::completed);
  EXPECT_EQ(outcome.steps, 4u);
}

// Two adapters are copied one after the other, while nothing else can run.
TEST(Simulation, AdaptersAreCopiedOneAfterTheOtherBeforeTheirRequestsStart) {
  const Trace trace = {
      .requests = {{.adapter = 0, .input_tokens = 8, .output_tokens = 1}, {.adapter = 1, .input_tokens = 8, .output_tokens = 1}},
      .adapter_count = 2,
      .seconds = 1};
  const SimulationSetup setup = make_small_setup(4000);
  const SimulationOutcome outcome = *simulate(trace, setup);
  CostModel cost(setup.model, setup.device, {64, 8}, AdapterCompute::gathered);
  const auto step_seconds = [&](std::uint64_t adapter) {
    StepPlan plan;
    plan.spans.push_back({SequenceId{1}, AdapterId{adapter}, 0, 0, 8, 0, 0, 0});
    plan.output_row_count = 1;
    return nanoseconds_of(cost.step_seconds(cost.work_of(plan)));
  };
  const std::int64_t first_load = nanoseconds_of(cost.load_seconds(AdapterId{1}));
  const std::int64_t second_load = nanoseconds_of(cost.load_seconds(AdapterId{2}));
  EXPECT_EQ(nanoseconds_of(outcome.served[0].first_token), first_load + step_seconds(1));
  const std::int64_t second_start = first_load + std::max(second_load, step_seconds(1));  // the copy runs next to the first's step
  EXPECT_EQ(nanoseconds_of(outcome.served[1].first_token), second_start + step_seconds(2));
  EXPECT_EQ(outcome.copied_bytes, setup.model.adapter_bytes(64) + setup.model.adapter_bytes(8));
}

void expect_conserved(const Trace& trace, const SimulationOutcome& outcome) {
  ASSERT_EQ(outcome.served.size(), trace.requests.size());
  for (std::size_t i = 0; i < trace.requests.size(); ++i) {
    const TraceRequest& request = trace.requests[i];
    const ServedRequest& served = outcome.served[i];
    EXPECT_EQ(served.request, static_cast<std::int32_t>(i));
    EXPECT_EQ(served.arrival, request.arrival);
    ASSERT_NE(served.end, ServedEnd::abandoned) << i;
    if (served.end == ServedEnd::aborted) continue;
    EXPECT_EQ(served.output_tokens, request.output_tokens) << i;
    EXPECT_GT(served.first_token, request.arrival) << i;
    EXPECT_GE(served.last_token, served.first_token) << i;
    EXPECT_LE(served.last_token, outcome.seconds) << i;
  }
}

TEST(Simulation, EveryRequestEndsOnceUnderEveryPolicyAndRouter) {
  const Trace trace = make_test_trace(4, 3, 60);
  std::vector<SimulationSetup> setups;
  for (const PolicyEntry& entry : policy_table()) setups.emplace_back(make_small_setup(6000)).policy.name = entry.name;
  for (const ReleasedOrder order :
       {ReleasedOrder::fcfs, ReleasedOrder::lcfs, ReleasedOrder::abort, ReleasedOrder::clustered, ReleasedOrder::merged}) {
    SimulationSetup& setup = setups.emplace_back(make_small_setup(6000));
    setup.released = {.order = order, .pool_tokens = 6000, .admission_tokens_max = 1000};
    if (order == ReleasedOrder::merged) setup.compute = AdapterCompute::merged;
  }
  setups.emplace_back(make_small_setup(6000)).compute = AdapterCompute::padded;
  for (const SimulationSetup& setup : setups) {
    SCOPED_TRACE(setup.released ? name_of(setup.released->order) : setup.policy.name);
    expect_conserved(trace, *simulate(trace, setup));
  }
}

TEST(Simulation, EqualArgumentsGiveEqualOutcomes) {
  const Trace trace = make_test_trace(2, 2, 30);
  const SimulationSetup setup = make_small_setup(8000);
  const SimulationOutcome first = *simulate(trace, setup), second = *simulate(trace, setup);
  EXPECT_EQ(first.seconds, second.seconds);
  EXPECT_EQ(first.steps, second.steps);
  for (std::size_t i = 0; i < first.served.size(); ++i) EXPECT_EQ(first.served[i].last_token, second.served[i].last_token);
}

TEST(Simulation, RefusesWhatCannotFitAndStopsWhenToldTo) {
  Trace trace = {.requests = {{.input_tokens = 5000, .output_tokens = 1}, {.input_tokens = 8, .output_tokens = 2000}}, .seconds = 1};
  const SimulationOutcome outcome = *simulate(trace, make_small_setup(4000), [](double) { return false; });
  EXPECT_EQ(outcome.served[0].end, ServedEnd::aborted);
  EXPECT_EQ(outcome.served[0].first_token, -1);
  EXPECT_EQ(outcome.served[1].end, ServedEnd::abandoned);
  EXPECT_GT(outcome.served[1].output_tokens, 0);
}

TEST(Simulation, RefusesBadArguments) {
  Trace trace = {.requests = {{.adapter = 1, .input_tokens = 8, .output_tokens = 1}}, .adapter_count = 1, .seconds = 1};
  EXPECT_EQ(simulate(trace, make_small_setup(4000)).error().code, "bad_trace");
  trace.requests[0].adapter = 0;
  SimulationSetup setup = make_small_setup(4000);
  setup.policy.name = "none";
  EXPECT_EQ(simulate(trace, setup).error().code, "bad_policy");
  setup = make_small_setup(4000);
  setup.ranks.clear();
  EXPECT_EQ(simulate(trace, setup).error().code, "bad_option");
  setup = make_small_setup(4000);
  setup.compute = AdapterCompute::merged;
  EXPECT_EQ(simulate(trace, setup).error().code, "bad_option");
}

}  // namespace
}  // namespace slora::bench
