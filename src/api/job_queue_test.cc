// What a request takes of the queue and of the quota of its key, and what refuses it.
#include <gtest/gtest.h>

#include "api/testing/generation_job_fixture.h"

namespace slora {
namespace {

using JobQueueTest = GenerationJobFixture;

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

TEST_F(JobQueueTest, AQueueWithTooFewPlacesTakesNothingOfARequest) {
  generator.capacity = 2;
  complete(R"("n":3)");
  EXPECT_EQ(sink->error.value().kind, ErrorKind::rate_limit);
  EXPECT_TRUE(generator.submitted.empty());
}

TEST_F(JobQueueTest, ARequestThatTheQueueNeverHasPlacesForIsWrong) {
  generator.sequences_max = 2;
  complete(R"("n":3)");
  EXPECT_EQ(sink->error.value().kind, ErrorKind::invalid_request);
  EXPECT_EQ(sink->error->code, "too_many_sequences");
  EXPECT_EQ(sink->error->param, "n");
  EXPECT_EQ(sink->error->message, "n: expected at most 2");
  start(Endpoint::completions, R"({"prompt":["Hello","World","!"]})");
  EXPECT_EQ(sink->error.value().param, "prompt");
  start(Endpoint::sglang, R"({"text":"Hello","sampling_params":{"n":3}})");
  EXPECT_EQ(sink->error.value().param, "sampling_params.n");
}

TEST_F(JobQueueTest, AsksForPlacesForAllSequencesAtOnce) {
  start(Endpoint::completions, R"({"prompt":[[10,20,30],[40]],"n":2})");
  ASSERT_FALSE(generator.demands.empty());
  EXPECT_EQ(generator.demands.back().sequences, 4u);
  EXPECT_EQ(generator.demands.back().prompt_tokens, 8u);
  EXPECT_EQ(generator.demands.back().last_prompt_tokens, 1u);
}

TEST_F(JobQueueTest, AFullQueueCancelsWhatWasTakenAndIsToBeTriedLater) {
  generator.capacity = 1;
  generator.has_late_limit = true;
  complete(R"("n":3)");
  EXPECT_EQ(sink->error.value().kind, ErrorKind::rate_limit);
  EXPECT_TRUE(generator.cancelled.contains(generator.submitted[0].id.value));
  deliver(0, -1, EndReason::cancelled);
}

}  // namespace
}  // namespace slora
