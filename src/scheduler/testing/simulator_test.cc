#include "scheduler/testing/simulator.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

// A failure prints its seed and step; `Simulator(draw_options(seed)).run(kSteps)` repeats it.
TEST(Simulator, FindsNothingWrongInManyWorlds) {
  constexpr std::uint64_t kSeeds = 500, kSteps = 1500;
  SimulationReport total;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const SimulationReport report = Simulator(draw_options(seed)).run(kSteps);
    ASSERT_EQ(report.failure, "");
    total.ended += report.ended;
    for (std::size_t i = 0; i < kSituationCount; ++i) total.situations[i] += report.situations[i];
  }
  EXPECT_GT(total.ended, 50'000u);
  for (std::size_t i = 0; i < kSituationCount; ++i) {
    const std::string name(name_of(static_cast<Situation>(i)));
    EXPECT_GT(total.situations[i], 0u) << "never met: " << name;
    RecordProperty(name, std::to_string(total.situations[i]));
  }
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

}  // namespace
}  // namespace slora
