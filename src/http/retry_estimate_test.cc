#include "http/retry_estimate.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

struct RetryEstimateTest : ::testing::Test {
  // Looks ten times a second; `rate` sequences finish in a second.
  void pass(double time_seconds, double rate, std::size_t sequence_count) {
    for (double at = 0; at < time_seconds; at += 0.1) {
      now += std::chrono::milliseconds(100);
      finished += rate / 10;
      estimate.look(now, static_cast<std::uint64_t>(finished), sequence_count);
    }
  }

  RetryEstimate::TimePoint now{std::chrono::hours(5)};
  double finished = 0;
  RetryEstimate estimate;
};

TEST_F(RetryEstimateTest, IsASecondWhileNothingIsKnown) {
  EXPECT_EQ(estimate.seconds(), 1);
  pass(5, 0, 1024);
  EXPECT_EQ(estimate.seconds(), 1);
}

TEST_F(RetryEstimateTest, IsWhatTheQueueTakesAtTheRateOfLate) {
  pass(60, 20, 1000);
  EXPECT_NEAR(estimate.seconds(), 50, 2);
  pass(120, 5, 1000);
  EXPECT_NEAR(estimate.seconds(), 200, 10) << "it became slower";
  pass(1, 5, 10);
  EXPECT_NEAR(estimate.seconds(), 2, 1) << "the queue became short";
}

TEST_F(RetryEstimateTest, HasBounds) {
  pass(10, 100, 3);
  EXPECT_EQ(estimate.seconds(), 1);
  pass(600, 0.01, 1000);
  EXPECT_EQ(estimate.seconds(), RetryEstimate::kSecondsMax);
}

TEST_F(RetryEstimateTest, DoesNotCountIdleTime) {
  pass(60, 20, 1000);
  const int busy = estimate.seconds();
  pass(600, 0, 0);
  pass(0.1, 0, 1000);
  EXPECT_NEAR(estimate.seconds(), busy, 2);
}

}  // namespace
}  // namespace slora
