#include "scheduler/simulator.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

// A failure prints its seed and step; `Simulator(draw_options(seed)).run(steps)` plays it again.
TEST(Simulator, FindsNothingWrongInManyWorlds) {
  constexpr std::uint64_t kSeeds = 400, kSteps = 1500;
  SimulationReport total;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const SimulationReport report = Simulator(draw_options(seed)).run(kSteps);
    ASSERT_EQ(report.failure, "");
    total.steps += report.steps;
    total.ended += report.ended;
    total.age_max = std::max(total.age_max, report.age_max);
    for (std::size_t i = 0; i < kSituationCount; ++i) total.situations[i] += report.situations[i];
  }
  for (std::size_t i = 0; i < kSituationCount; ++i)
    EXPECT_GT(total.situations[i], 0u) << "never met: " << name_of(static_cast<Situation>(i));
  for (std::size_t i = 0; i < kSituationCount; ++i)
    RecordProperty(std::string(name_of(static_cast<Situation>(i))), std::to_string(total.situations[i]));
  printf("%lu steps %lu ended age %lu\n", total.steps, total.ended, total.age_max);
  for (std::size_t i = 0; i < kSituationCount; ++i)
    printf("%-30s %lu\n", std::string(name_of(static_cast<Situation>(i))).c_str(), total.situations[i]);
}

}  // namespace
}  // namespace slora
