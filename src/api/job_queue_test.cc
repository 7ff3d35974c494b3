// What a request takes of the quota of its key.
#include <gtest/gtest.h>

#include "api/testing/generation_job_fixture.h"

namespace slora {
namespace {

class JobQuotaTest : public GenerationJobFixture {
 protected:
  JobQuotaTest() { quota = std::make_shared<TokenQuota>(kTokens); }
  // Of the quota, found by taking them.
  std::uint64_t left() const {
    TokenQuota rest = *quota;
    std::uint64_t count = 0;
    while (rest.check(clock.now())) {
      rest.take(1, clock.now());
      ++count;
    }
    return count;
  }

  static constexpr std::uint64_t kTokens = 600;
};

TEST_F(JobQuotaTest, PromptsCountOnceTheyAreSubmittedAndOutputsAsTheyCome) {
  complete(R"("n":2,"max_tokens":4)");
  const std::uint64_t prompts = 2 * generator.submitted.at(0).prompt.size();
  EXPECT_EQ(left(), kTokens - prompts);
  deliver(0, 10);
  deliver(1, 10);
  deliver(1, 11);
  EXPECT_EQ(left(), kTokens - prompts - 3);
}

TEST_F(JobQuotaTest, WhatAFullQueueRefusesTakesNothing) {
  generator.capacity = 1;
  generator.has_late_limit = true;  // found when the second choice is submitted
  complete(R"("n":2,"max_tokens":4)");
  ASSERT_EQ(sink->error.value().code, "queue_full");
  EXPECT_EQ(left(), kTokens);
  generator.has_late_limit = false;
  complete(R"("n":2,"max_tokens":4)");
  ASSERT_EQ(sink->error.value().code, "queue_full");
  EXPECT_EQ(left(), kTokens);
}

TEST_F(JobQuotaTest, AKeyThatHasNothingLeftWaits) {
  quota->take(kTokens, clock.now());
  complete(R"("max_tokens":4)");
  EXPECT_EQ(sink->error.value().code, "token_quota_exceeded");
  EXPECT_GT(sink->error.value().retry_seconds, 0);
  EXPECT_TRUE(generator.submitted.empty());
}

}  // namespace
}  // namespace slora
