#include "scheduler/testing/simulator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

namespace slora {
namespace {

std::uint64_t variable_or(const char* name, std::uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// A failure prints its seed and step; `Simulator(draw_options(seed)).run(kSteps)` repeats it.
TEST(Simulator, FindsNothingWrongInManyWorlds) {
  constexpr std::uint64_t kSeeds = 500, kSteps = 1500;
  const std::uint64_t steps_wanted = variable_or("SLORA_SIMULATOR_STEPS", 0);     // of all worlds together
  const std::uint64_t first_seed = variable_or("SLORA_SIMULATOR_FIRST_SEED", 1);  // so that every night has worlds of its own
  SimulationReport total;
  for (std::uint64_t seed = first_seed; seed < first_seed + kSeeds || total.steps < steps_wanted; ++seed) {
    const SimulationReport report = Simulator(draw_options(seed)).run(kSteps);
    ASSERT_EQ(report.failure, "");
    total.steps += report.steps;
    total.age_max = std::max(total.age_max, report.age_max);
    total.ended += report.ended;
    total.unfairness_max = std::max(total.unfairness_max, report.unfairness_max);
    for (std::size_t i = 0; i < kSituationCount; ++i) total.situations[i] += report.situations[i];
  }
  EXPECT_GT(total.ended, 50'000u);
  RecordProperty("steps", std::to_string(total.steps));
  RecordProperty("steps from a sequence's arrival to its end, at most", std::to_string(total.age_max));
  RecordProperty("unfairness of fair-share, at most 2", std::to_string(total.unfairness_max));
  for (std::size_t i = 0; i < kSituationCount; ++i) {
    const std::string name(name_of(static_cast<Situation>(i)));
    EXPECT_GT(total.situations[i], 0u) << "never met: " << name;
    RecordProperty(name, std::to_string(total.situations[i]));
  }
}

// Seeds beyond those of a usual run. 9087: fair-share held back a client whose adapter was absent. 2012541 and 2018418: a client that
// waited was charged for every load ahead, which others evicted time and again, and fell ever further behind. 2100198: sequences whose
// adapters were absent were admitted past those of a client that had got less, which waited for prompt tokens.
TEST(Simulator, FindsNothingWrongInWorldsWhereItDid) {
  SimulationOptions options = draw_options(9087);
  options.client_credit_max = 0;
  EXPECT_EQ(Simulator(options).run(1500).failure, "");
  for (const std::uint64_t seed : {2012541, 2018418, 2100198}) EXPECT_EQ(Simulator(draw_options(seed)).run(1500).failure, "");
}

TEST(Simulator, PlaysAWorldAgainExactly) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const SimulationReport first = Simulator(draw_options(seed)).run(500);
    const SimulationReport second = Simulator(draw_options(seed)).run(500);
    EXPECT_EQ(first.steps, second.steps);
    EXPECT_EQ(first.ended, second.ended);
    EXPECT_EQ(first.situations, second.situations);
    EXPECT_EQ(first.plan_digest, second.plan_digest);
  }
}

// So an operator whose clients all share a key loses nothing by fair-share.
TEST(Simulator, MakesThePlansOfFcfsUnderFairShareForASingleClient) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SimulationOptions options = draw_options(seed);
    options.client_count = options.priority_count = 1;
    options.policy = SimulatedPolicy::fcfs;
    const SimulationReport fcfs = Simulator(options).run(1000);
    options.policy = SimulatedPolicy::fair_share;
    const SimulationReport fair = Simulator(options).run(1000);
    ASSERT_EQ(fair.failure, "");
    EXPECT_EQ(fair.plan_digest, fcfs.plan_digest) << "seed " << seed;
    EXPECT_EQ(fair.steps, fcfs.steps);
  }
}

TEST(Simulator, MakesThePlansOfFcfsUnderAdapterGroupedWithoutLimits) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SimulationOptions options = draw_options(seed);
    options.priority_count = 1;
    options.policy = SimulatedPolicy::fcfs;
    const SimulationReport fcfs = Simulator(options).run(1000);
    options.policy = SimulatedPolicy::adapter_grouped;
    options.adapter_group = {.adapters_max = kAnyAdapterCount, .wait_max = Timestamp{seed}};
    const SimulationReport grouped = Simulator(options).run(1000);
    ASSERT_EQ(grouped.failure, "");
    EXPECT_EQ(grouped.plan_digest, fcfs.plan_digest) << "seed " << seed;
    EXPECT_EQ(grouped.steps, fcfs.steps);
  }
}

}  // namespace
}  // namespace slora
