#include "http/retry_estimate.h"

#include <gtest/gtest.h>

#include <vector>

namespace slora {
namespace {

struct RetryEstimateTest : ::testing::Test {
  // Looks ten times a second; `rate` tokens are computed in a second.
  void pass(double time_seconds, double rate, std::uint64_t tokens_left, std::size_t request_count = 0) {
    for (double at = 0; at < time_seconds; at += 0.1) {
      now += std::chrono::milliseconds(100);
      tokens += rate / 10;
      estimate.look(now, {static_cast<std::uint64_t>(tokens), tokens_left, tokens_left, request_count, 1});
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

constexpr TenantId kTenant{7};

// The first prompts are computed, and memory is touched for the first time.
TEST_F(RetryEstimateTest, TakesTheFirstMomentForNoRate) {
  pass(1, 0, 0);  // idle
  pass(0.4, 200, 8000, 5);
  EXPECT_EQ(estimate.seconds(), 1);
  for (int i = 0; i < 55; ++i) EXPECT_LE(estimate.appoint(now, kTenant, {}), now + std::chrono::seconds(10));
}

TEST_F(RetryEstimateTest, LetsClientsThatDoNotWaitPutNobodyOff) {
  pass(60, 2000, 4000, 4);  // two seconds of work
  for (int i = 0; i < 10'000; ++i) static_cast<void>(estimate.appoint(now, kTenant, {}));
  EXPECT_LE(estimate.appoint(now, kTenant, {}), now + std::chrono::seconds(30)) << "ten times what the work takes, rounded up";
  pass(0.2, 2000, 0);
  EXPECT_LE(estimate.appoint(now, kTenant, {}), now + std::chrono::seconds(2)) << "all has ended since then";
}

TEST_F(RetryEstimateTest, GivesATimeToComeWhenNothingIsComputedForLong) {
  pass(60, 5000, 100'000, 100);
  pass(120, 0, 100'000, 100);  // a load that hangs
  EXPECT_GE(estimate.appoint(now, kTenant, {}), now + std::chrono::seconds(1));
  EXPECT_LE(estimate.appoint(now, kTenant, {}), now + std::chrono::seconds(RetryEstimate::kSecondsMax));
}

TEST_F(RetryEstimateTest, GivesEachClientATimeOfItsOwn) {
  pass(60, 2000, 100'000, 100);  // 1,000 tokens for each request
  const auto seconds_of = [&](std::optional<RetryEstimate::TimePoint> given_before = {}) {
    return std::chrono::duration<double>(estimate.appoint(now, kTenant, given_before) - now).count();
  };
  EXPECT_NEAR(seconds_of(), 0.5, 0.01);
  EXPECT_NEAR(seconds_of(), 1.0, 0.02);
  EXPECT_NEAR(seconds_of(), 1.5, 0.03);
  const RetryEstimate::TimePoint later = now + std::chrono::seconds(9);
  EXPECT_EQ(estimate.appoint(now, kTenant, later), later) << "it comes too early";
  EXPECT_NEAR(seconds_of(now), 0.5, 0.01) << "it has waited once";
  EXPECT_NEAR(seconds_of(), 2.0, 0.04);
  EXPECT_NEAR(std::chrono::duration<double>(estimate.appoint(now, TenantId{8}, {}) - now).count(), 0.5, 0.01);
  for (int i = 0; i < 5000; ++i) (void)seconds_of();
  EXPECT_EQ(seconds_of(), 10 * estimate.seconds());
}

// A queue with 64 places, of which one becomes free every 0.2 s, and ten times as many clients, which come together and obey
// Retry-After.
TEST_F(RetryEstimateTest, MostWhoComeAtTheirTimeFindAPlace) {
  for (const auto& [rate_is_known, keeps_connection] : {std::pair{true, true}, {true, false}, {false, true}, {false, false}}) {
    SCOPED_TRACE(rate_is_known);
    SCOPED_TRACE(keeps_connection);
    estimate = {};
    tokens = 0;
    if (rate_is_known) pass(10, 5000, 64'000, 64);
    struct Client {
      RetryEstimate::TimePoint comes;
      std::optional<RetryEstimate::TimePoint> given;
    };
    std::vector<Client> clients(640, {now, {}});
    std::size_t in_queue = 0, retries = 0, accepted = 0;
    double freed = 0;
    while (!clients.empty()) {
      pass(0.1, in_queue > 0 ? 5000 : 0, 1000 * in_queue, in_queue);
      for (freed += 0.5; freed >= 1; --freed) in_queue -= in_queue > 0 ? 1 : 0;
      std::erase_if(clients, [&](Client& client) {
        if (client.comes > now) return false;
        retries += client.given ? 1 : 0;
        const bool finds_place = in_queue < 64;
        accepted += client.given && finds_place ? 1 : 0;
        if (finds_place) return ++in_queue > 0;
        client.given = estimate.appoint(now, kTenant, keeps_connection ? client.given : std::nullopt);
        client.comes = now + std::max<RetryEstimate::TimePoint::duration>(std::chrono::ceil<std::chrono::seconds>(*client.given - now),
                                                                          std::chrono::seconds(1));
        return false;
      });
    }
    EXPECT_GT(accepted, retries / 2) << "of " << retries;
  }
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
