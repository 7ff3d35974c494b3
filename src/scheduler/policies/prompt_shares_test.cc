#include "scheduler/policies/prompt_shares.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>

#include "scheduler/policies/fair_share.h"
#include "scheduler/policies/fcfs.h"
#include "scheduler/policies/priority.h"
#include "scheduler/testing/scheduler_play.h"

namespace slora {
namespace {

constexpr std::int32_t kStepTokens = 512;

SchedulerOptions wide_options() {
  SchedulerOptions options;
  options.page_count = 100'000;
  options.step_tokens_max = kStepTokens;
  options.running_max = 64;
  options.preempted_every = 0;
  return options;
}

// Prompts of these lengths that come together, in this order: the step in which each gets its first token, from 1 on.
std::vector<int> first_token_steps(const std::vector<std::int32_t>& lengths,
                                   std::unique_ptr<Policy> policy = std::make_unique<FcfsPolicy>(),
                                   const std::vector<std::int32_t>& priorities = {}) {
  Play play(wide_options(), std::move(policy));
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    const auto first = static_cast<TokenId>(1'000'000 * i);
    std::vector<TokenId> prompt(static_cast<std::size_t>(lengths[i]));
    std::iota(prompt.begin(), prompt.end(), first);
    SequenceRequest request = Play::request(i, std::move(prompt), 1);
    if (!priorities.empty()) request.priority = priorities[i];
    EXPECT_TRUE(play.add(std::move(request)));
  }
  std::vector<int> steps(lengths.size());
  for (int step = 1; step < 5000 && play.live_count() > 0; ++step) {
    play.step();
    for (const PlannedSpan& span : play.latest.spans)
      if (span.output_row >= 0) steps[span.sequence.value] = step;
  }
  EXPECT_EQ(play.live_count(), 0u);
  return steps;
}

TEST(PromptShares, LetsNoLongPromptHoldUpShorterOnesAfterIt) {
  const std::vector<int> steps = first_token_steps({100'000, 20, 1000, 300});
  EXPECT_EQ(steps[1], 1);
  EXPECT_LE(steps[2], 7);
  EXPECT_LE(steps[3], 4);
  EXPECT_LE(steps[0], (100'000 + 1320) / kStepTokens + 1) << "nothing is lost";
}

TEST(PromptShares, SlowsTheFirstDownToHalfAtMost) {
  std::vector<std::int32_t> lengths(60, 400);
  lengths.insert(lengths.begin(), 5000);
  EXPECT_LE(first_token_steps(lengths)[0], 2 * (5000 / kStepTokens + 1));
}

TEST(PromptShares, ComputesEqualPromptsOneAfterTheOther) {
  EXPECT_EQ(first_token_steps({5120, 5120, 5120, 5120}), (std::vector<int>{10, 20, 30, 40}));
}

TEST(PromptShares, ReachesShortPromptsAfterManyLongOnes) {
  const std::vector<int> steps = first_token_steps({50'000, 60'000, 70'000, 80'000, 90'000, 20, 500});
  EXPECT_LE(steps[5], 2);
  EXPECT_LE(steps[6], 5);
}

TEST(PromptShares, IsTheSameUnderFairShareForOneClient) {
  const std::vector<std::int32_t> lengths = {30'000, 20, 1000, 300, 40'000, 700, 50};
  EXPECT_EQ(first_token_steps(lengths), first_token_steps(lengths, std::make_unique<FairSharePolicy>()));
}

TEST(PromptShares, TakesNothingFromAHigherPriority) {
  const std::vector<int> steps = first_token_steps({10'240, 20, 30}, std::make_unique<PriorityPolicy>(), {0, 1, 0});
  EXPECT_EQ(steps[2], 1);
  EXPECT_GE(steps[1], 20) << "of lower priority";
}

}  // namespace
}  // namespace slora
