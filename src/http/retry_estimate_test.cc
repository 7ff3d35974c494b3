#include "http/retry_estimate.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

struct RetryEstimateTest : ::testing::Test {
  // Looks ten times a second; `rate` tokens are computed in a second.
  void pass(double time_seconds, double rate, std::uint64_t tokens_left) {
    for (double at = 0; at < time_seconds; at += 0.1) {
      now += std::chrono::milliseconds(100);
      tokens += rate / 10;
      estimate.look(now, {static_cast<std::uint64_t>(tokens), tokens_left});
    }
  }

  RetryEstimate::TimePoint now{std::chrono::hours(5)};
  double tokens = 0;
  RetryEstimate estimate;
};

TEST_F(RetryEstimateTest, IsASecondWhileNothingIsKnown) {
  EXPECT_EQ(estimate.seconds(), 1);
  pass(5, 0, 100'000);
  EXPECT_EQ(estimate.seconds(), 1);
}

TEST_F(RetryEstimateTest, IsWhatTheQueueTakesAtTheRateOfLate) {
  pass(60, 2000, 100'000);
  EXPECT_NEAR(estimate.seconds(), 50, 2);
  pass(120, 500, 100'000);
  EXPECT_NEAR(estimate.seconds(), 200, 10) << "it became slower";
  pass(1, 500, 1000);
  EXPECT_NEAR(estimate.seconds(), 2, 1) << "the queue became short";
}

TEST_F(RetryEstimateTest, LearnsInTheFirstSecondsOfAFloodWhatTheServerCanDo) {
  pass(120, 100, 50);  // one client after the other
  pass(2, 5000, 100'000);
  EXPECT_LE(estimate.seconds(), 40);
  pass(4, 5000, 100'000);
  EXPECT_NEAR(estimate.seconds(), 20, 3);
}

TEST_F(RetryEstimateTest, HasBounds) {
  pass(10, 10'000, 300);
  EXPECT_EQ(estimate.seconds(), 1);
  pass(600, 1, 100'000);
  EXPECT_EQ(estimate.seconds(), RetryEstimate::kSecondsMax);
}

TEST_F(RetryEstimateTest, DoesNotCountIdleTime) {
  pass(60, 2000, 100'000);
  const int busy = estimate.seconds();
  pass(600, 0, 0);
  pass(0.1, 0, 100'000);
  EXPECT_NEAR(estimate.seconds(), busy, 2);
}

}  // namespace
}  // namespace slora
