#include "api/token_quota.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

using namespace std::chrono_literals;

TEST(TokenQuota, RefusesWhenAMinutesTokensAreTakenAndSaysWhenToComeBack) {
  TokenQuota quota(600);
  EXPECT_TRUE(quota.check(1h));
  quota.take(599, 1h);
  EXPECT_TRUE(quota.check(1h)) << "one is left";
  quota.take(101, 1h);
  const Status refused = quota.check(1h);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "token_quota_exceeded");
  EXPECT_NE(refused.error().message.find("600 tokens per minute"), std::string::npos) << refused.error().message;
  EXPECT_EQ(quota.seconds_to_wait(1h), 11) << "10 a second";
  EXPECT_FALSE(quota.check(1h + 10s));
  EXPECT_TRUE(quota.check(1h + 11s));
}

TEST(TokenQuota, KeepsNoMoreThanAMinutesTokens) {
  TokenQuota quota(60);
  quota.take(30, 1h);
  quota.take(60, 10h);
  EXPECT_FALSE(quota.check(10h));
  EXPECT_TRUE(quota.check(10h + 1100ms));
}

TEST(TokenQuota, GivesNothingBackWhenTimesComeInAnotherOrder) {
  TokenQuota quota(60);
  quota.take(60, 2h);
  quota.take(60, 1h);
  EXPECT_EQ(quota.seconds_to_wait(2h), 61);
}

}  // namespace
}  // namespace slora
