#include "bench/workload/saturation.h"

#include <gtest/gtest.h>

namespace slora::bench {
namespace {

// A server that sustains rates up to a limit.
std::function<Result<std::optional<ServingMetrics>>(double)> server_of(double limit) {
  return [limit](double rate) -> Result<std::optional<ServingMetrics>> {
    ServingMetrics metrics;
    metrics.slo_attainment = rate <= limit ? 1 : 0.9 * limit / rate;
    return metrics;
  };
}

TEST(Saturation, FindsTheLimitFromBelowAndFromAbove) {
  for (const double limit : {0.013, 0.9, 1.0, 1.7, 5.3, 777.0}) {
    const Result<Saturation> found = find_saturation({}, server_of(limit));
    ASSERT_TRUE(found);
    ASSERT_TRUE(found->sustained_rate && found->broken_rate);
    EXPECT_TRUE(found->is_bracketed);
    EXPECT_LE(*found->sustained_rate, limit);
    EXPECT_GT(*found->broken_rate, limit);
    EXPECT_LE(*found->broken_rate, *found->sustained_rate * 1.1 + 1e-9);
  }
}

TEST(Saturation, TakesTheTargetForWhatIsSustained) {
  const Result<Saturation> found = find_saturation({.attainment_target = 0.45, .precision = 0.01}, server_of(10));
  ASSERT_TRUE(found && found->sustained_rate);
  EXPECT_NEAR(*found->sustained_rate, 20, 0.2) << "where 0.9 x 10 / rate is 0.45";
}

TEST(Saturation, RunsAtNoHigherRateThanMayBe) {
  const Result<Saturation> found = find_saturation({.first_rate = 3, .rate_max = 10}, server_of(100));
  ASSERT_TRUE(found);
  std::vector<double> rates;
  for (const SaturationRun& run : found->runs) rates.push_back(run.rate);
  EXPECT_EQ(rates, (std::vector<double>{3, 6, 10}));
  EXPECT_EQ(found->sustained_rate, 10);
  EXPECT_TRUE(found->sustains_rate_max);
  EXPECT_FALSE(found->is_bracketed);
  const Result<Saturation> below = find_saturation({.first_rate = 3, .rate_max = 10}, server_of(7));
  EXPECT_TRUE(below->is_bracketed && !below->sustains_rate_max);
  EXPECT_LE(*below->sustained_rate, 7);
}

TEST(Saturation, EndsWhereThereIsNoLimit) {
  const Result<Saturation> all = find_saturation({.runs_max = 5}, server_of(1e9));
  ASSERT_TRUE(all);
  EXPECT_EQ(all->runs.size(), 5u);
  EXPECT_EQ(all->sustained_rate, 16);
  EXPECT_FALSE(all->broken_rate);
  EXPECT_FALSE(all->is_bracketed);
  const Result<Saturation> none = find_saturation({.runs_max = 5}, server_of(0));
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->sustained_rate);
  EXPECT_EQ(none->broken_rate, 1.0 / 16);
}

TEST(Saturation, KeepsWhatRanBeforeAnInterrupt) {
  int runs = 0;
  const Result<Saturation> found = find_saturation({}, [&](double rate) -> Result<std::optional<ServingMetrics>> {
    if (++runs == 3) return std::nullopt;
    return server_of(100)(rate);
  });
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->interrupted);
  EXPECT_EQ(found->runs.size(), 2u);
  EXPECT_EQ(found->sustained_rate, 2);
  EXPECT_FALSE(found->is_bracketed);
}

TEST(Saturation, ForwardsTheErrorOfARun) {
  const Result<Saturation> found =
      find_saturation({}, [](double) -> Result<std::optional<ServingMetrics>> { return error("E_RUN", "no server"); });
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().message, "no server");
}

}  // namespace
}  // namespace slora::bench
