// How large FairSharePolicy makes the steps.
#include <gtest/gtest.h>

#include <utility>

#include "scheduler/policies/fair_share.h"
#include "scheduler/testing/fair_share_case.h"

namespace slora {
namespace {

using std::chrono::milliseconds;

// A has 1,000 tokens waiting, steps of 64 tokens take `time`, and B was there before.
FairShareCase case_of_two_clients(Timestamp time) {
  FairShareCase play;
  play.wait(kB);
  static_cast<void>(play.decide());
  play.waiting.clear();
  play.wait(kA, 1000);
  play.make_steps(kA, time);
  return play;
}

TEST(FairShareSteps, MakesWholeStepsForASingleClient) {
  FairShareCase play;
  play.wait(kA, 1000);
  play.make_steps(kA, milliseconds(640));
  EXPECT_EQ(play.decide().prompt_tokens_max, kAnyPromptTokens);
}

TEST(FairShareSteps, MakesShortStepsWhileAnotherClientMayComeBack) {
  FairShareCase play = case_of_two_clients(milliseconds(640));
  EXPECT_EQ(play.decide().prompt_tokens_max, 64 / FairSharePolicy::kSharedStepPart) << "at least, though it takes longer";
  play.now = FairSharePolicy::kAwayTime - milliseconds(1);
  EXPECT_EQ(play.decide().prompt_tokens_max, 64 / FairSharePolicy::kSharedStepPart);
  play.now += milliseconds(1);
  EXPECT_EQ(play.decide().prompt_tokens_max, kAnyPromptTokens) << "gone";
}

TEST(FairShareSteps, MakesStepsNoShorterThanTheyHaveToBe) {
  EXPECT_EQ(case_of_two_clients(milliseconds(64)).decide().prompt_tokens_max, FairSharePolicy::kSharedStepTime / milliseconds(1));
  EXPECT_EQ(case_of_two_clients(milliseconds(10)).decide().prompt_tokens_max, kAnyPromptTokens);
}

TEST(FairShareSteps, FillsNoStepUpWithTheTokensOfOthers) {
  FairShareCase play = case_of_two_clients(milliseconds(640));
  play.wait(kB, 40);
  EXPECT_EQ(play.decide().prompt_tokens_max, 40 + 1) << "and one for the oldest sequence";
  EXPECT_EQ(play.policy.prompt_tokens(play.waiting[0], 41), 1);
  EXPECT_EQ(play.policy.prompt_tokens(play.waiting[1], 40), 40);
  play.waiting.back() = FairShareCase::view_of(kB, 1000);
  EXPECT_EQ(play.decide().prompt_tokens_max, kAnyPromptTokens);
}

TEST(FairShareSteps, MakesAsLargeStepsForFewPromptsOfANewClient) {
  constexpr std::int32_t kShort = 64 / FairSharePolicy::kSharedStepPart;
  for (const auto& [tokens, most] : {std::pair(3, kShort), {20, 2 * 20 + 1}, {1000, kAnyPromptTokens}, {5000, kShort}}) {
    FairShareCase play = case_of_two_clients(milliseconds(640));
    play.waiting.front().tokens_to_compute = 10'000;
    play.wait(kC, tokens);
    EXPECT_EQ(play.decide().prompt_tokens_max, most) << tokens;
  }
}

}  // namespace
}  // namespace slora
