#include "bench/simulation/cost_fit.h"

#include <gtest/gtest.h>

#include <fstream>

#include "formats/temporary_folder.h"

namespace slora::bench {
namespace {

MeasuredStep make_step_of(double bytes, double operations, double sequences, bool has_adapters) {
  MeasuredStep step{"step", 0, bytes, operations, sequences, has_adapters};
  step.seconds = 0.002 + sequences * 0.0001 + bytes / 5e10 + operations / 8e11 + (has_adapters ? 0.003 : 0);
  return step;
}

TEST(CostFit, FindsTheDeviceThatMadeTheSteps) {
  const std::vector<MeasuredStep> steps = {make_step_of(1e9, 1e9, 1, false),    make_step_of(1.1e9, 8e9, 8, false),
                                           make_step_of(1.4e9, 3e10, 32, true), make_step_of(1e9, 4e11, 1, false),
                                           make_step_of(2e9, 1.5e10, 16, true), make_step_of(3e9, 2e9, 2, true)};
  const CostFit fit = *fit_device(steps);
  EXPECT_NEAR(fit.device.bytes_per_second / 5e10, 1, 1e-6);
  EXPECT_NEAR(fit.device.operations_per_second / 8e11, 1, 1e-6);
  EXPECT_NEAR(fit.device.step_seconds, 0.002, 1e-8);
  EXPECT_NEAR(fit.device.sequence_seconds, 0.0001, 1e-9);
  EXPECT_NEAR(fit.device.adapter_step_seconds, 0.003, 1e-8);
  EXPECT_LT(fit.error_max, 1e-6);
}

TEST(CostFit, KeepsCoefficientsFromBeingNegative) {
  // Fewer milliseconds for more sequences: the term for sequences is left out rather than negative.
  std::vector<MeasuredStep> steps = {make_step_of(1e9, 1e9, 1, false), make_step_of(2e9, 4e11, 16, false),
                                     make_step_of(3e9, 2e11, 32, false), make_step_of(1e9, 2e11, 8, false),
                                     make_step_of(4e9, 1e9, 32, false)};
  for (MeasuredStep& step : steps) step.seconds -= step.sequences * 0.00015;
  const CostFit fit = *fit_device(steps);
  EXPECT_EQ(fit.device.sequence_seconds, 0);
  EXPECT_EQ(fit.device.adapter_step_seconds, 0);
  EXPECT_GT(fit.error_max, 0);
}

TEST(CostFit, RefusesRowsThatDetermineNothing) {
  EXPECT_EQ(fit_device({}).error().code, "bad_fit");
  const std::vector<MeasuredStep> same(4, make_step_of(1e9, 1e9, 1, false));
  EXPECT_EQ(fit_device(same).error().code, "bad_fit");
}

TEST(CostFit, ReadsTheRowsOfBenchOffline) {
  const TemporaryFolder folder = *TemporaryFolder::create();
  const std::string path = folder.path() + "/rows.jsonl";
  std::ofstream(path) << R"({"command":"slora bench offline"})"
                      << "\n"
                      << R"({"row":"decode","batch":8,"tokens":128,"adapters":"shared","seconds":0.5,"bytes":10,)"
                      << R"("weight_operations":20,"other_operations":3})"
                      << "\n"
                      << R"({"row":"requests","batch":8,"seconds":3})"
                      << "\n";
  const std::vector<MeasuredStep> steps = *read_measured_steps(path);
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_EQ(steps[0].name, "decode 8 x 128, shared");
  EXPECT_EQ(steps[0].seconds, 0.5);
  EXPECT_EQ(steps[0].operations, 23);
  EXPECT_EQ(steps[0].sequences, 8);
  EXPECT_TRUE(steps[0].has_adapters);
  std::ofstream(path) << R"({"row":"decode","batch":8})"
                      << "\n";
  EXPECT_EQ(read_measured_steps(path).error().code, "bad_fit");
  std::ofstream(path) << "{}\n";
  EXPECT_EQ(read_measured_steps(path).error().code, "bad_fit");
}

}  // namespace
}  // namespace slora::bench
