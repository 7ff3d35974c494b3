#include "http/recent_rate.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

// Looks twenty times a second for so long, while it happens at this rate.
void pass(RecentRate& rate, RecentRate::TimePoint& now, double& count, double seconds, double per_second) {
  for (int i = 0; i < static_cast<int>(20 * seconds); ++i) {
    now += std::chrono::milliseconds(50);
    rate.look(now, static_cast<std::uint64_t>(count += per_second / 20));
  }
}

TEST(RecentRate, IsTheRateFromTheFirstSecondOn) {
  RecentRate rate;
  RecentRate::TimePoint now(std::chrono::hours(1));
  double count = 0;
  EXPECT_EQ(rate.per_second(), 0);
  rate.look(now, 0);
  EXPECT_EQ(rate.per_second(), 0);
  pass(rate, now, count, 5, 40);
  EXPECT_NEAR(rate.per_second(), 40, 0.5);
  pass(rate, now, count, 500, 40);
  EXPECT_NEAR(rate.per_second(), 40, 0.5);
}

TEST(RecentRate, ForgetsWhatIsLongPast) {
  RecentRate rate;
  RecentRate::TimePoint now(std::chrono::hours(1));
  double count = 0;
  rate.look(now, 0);
  pass(rate, now, count, 600, 40);
  pass(rate, now, count, 60, 0);
  EXPECT_NEAR(rate.per_second(), 40 / 2.71828, 0.5);
  pass(rate, now, count, 600, 0);
  EXPECT_LT(rate.per_second(), 0.01);
  pass(rate, now, count, 600, 2);
  EXPECT_NEAR(rate.per_second(), 2, 0.1);
}

}  // namespace
}  // namespace slora
