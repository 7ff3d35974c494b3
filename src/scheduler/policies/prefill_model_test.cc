#include "scheduler/policies/prefill_model.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

void note_steps(PrefillModel& model, int count, std::int64_t tokens, Timestamp elapsed) {
  for (int i = 0; i < count; ++i) model.note({tokens, elapsed});
}

TEST(PrefillModel, AssumesATimeUntilItHasMeasuredSome) {
  PrefillModel model(milliseconds(500));
  EXPECT_EQ(model.time_of(1, 512), milliseconds(500));
  EXPECT_EQ(model.time_of(100'000, 512), milliseconds(500));
  EXPECT_EQ(model.time_of(0, 512), Timestamp{});
  note_steps(model, 10, 0, milliseconds(20));
  note_steps(model, 3, 100, milliseconds(120));
  EXPECT_FALSE(model.is_measured());
  EXPECT_EQ(model.time_of(100, 512), milliseconds(500));
  model.note({100, milliseconds(120)});
  EXPECT_TRUE(model.is_measured());
}

TEST(PrefillModel, TellsTheStepFromItsTokens) {
  PrefillModel model(milliseconds(500));
  note_steps(model, 10, 0, milliseconds(20));
  note_steps(model, 10, 100, milliseconds(120));
  EXPECT_NEAR(seconds(model.time_of(100, 512)), 0.120, 1e-6);
  EXPECT_NEAR(seconds(model.time_of(10, 512)), 0.030, 1e-6);
  EXPECT_NEAR(seconds(model.time_of(1000, 500)), 2 * 0.020 + 1.0, 1e-6);
  EXPECT_NEAR(seconds(model.time_of(1001, 500)), 3 * 0.020 + 1.001, 1e-6);
}

TEST(PrefillModel, CountsTheTokensOfATime) {
  PrefillModel model(milliseconds(500));
  note_steps(model, 10, 0, milliseconds(20));
  note_steps(model, 10, 100, milliseconds(120));
  EXPECT_EQ(model.tokens_in(milliseconds(50) + microseconds(500)), 30);
  EXPECT_EQ(model.tokens_in(milliseconds(20)), 0);
  EXPECT_EQ(model.tokens_in(milliseconds(10)), 0);
  EXPECT_GT(model.tokens_in(Timestamp::max()), 1'000'000);
}

TEST(PrefillModel, FollowsTheLatestSteps) {
  PrefillModel model(milliseconds(500));
  note_steps(model, 100, 100, milliseconds(100));
  EXPECT_NEAR(seconds(model.time_of(100, 512)), 0.1, 1e-6);
  note_steps(model, 50, 100, milliseconds(300));
  EXPECT_NEAR(seconds(model.time_of(100, 512)), 0.3, 0.01);
}

// A virtual machine stands still for a second, in a step with a prompt and in one without.
TEST(PrefillModel, TakesLittleNoticeOfASingleSlowStep) {
  PrefillModel model(milliseconds(500));
  note_steps(model, 20, 0, milliseconds(20));
  note_steps(model, 20, 50, milliseconds(40));
  model.note({50, milliseconds(1040)});
  EXPECT_LT(seconds(model.time_of(5000, 500)), 1.5 * 2.2) << "2.2 s before";
  model.note({0, milliseconds(1020)});
  EXPECT_LT(seconds(model.time_of(5000, 500)), 1.5 * 2.2);
}

TEST(PrefillModel, FollowsAMachineThatStaysSlow) {
  PrefillModel model(milliseconds(500));
  note_steps(model, 20, 100, milliseconds(10));
  note_steps(model, 12, 100, milliseconds(100));
  EXPECT_GT(seconds(model.time_of(100, 512)), 0.05);
  note_steps(model, 40, 100, milliseconds(100));
  EXPECT_NEAR(seconds(model.time_of(100, 512)), 0.1, 0.01);
}

TEST(PrefillModel, RecoversWithAFewFastSteps) {
  PrefillModel model(milliseconds(500));
  note_steps(model, 10, 0, milliseconds(500));
  note_steps(model, 10, 100, milliseconds(1000));
  model.note({100, milliseconds(10)});
  EXPECT_LT(seconds(model.time_of(100, 512)), 0.5);
  note_steps(model, 5, 100, milliseconds(10));
  EXPECT_LT(seconds(model.time_of(100, 512)), 0.03);
  model.note({0, milliseconds(5)});
  EXPECT_LT(seconds(model.time_of(100, 512)), 0.03);
}

TEST(PrefillModel, TakesNoTokenForCheaperThanNothing) {
  PrefillModel model(milliseconds(500));
  note_steps(model, 10, 0, milliseconds(50));  // of a large batch, before
  note_steps(model, 10, 64, milliseconds(10));
  EXPECT_EQ(model.time_of(64, 512), milliseconds(10));
  EXPECT_EQ(model.time_of(512, 512), milliseconds(10));
  EXPECT_EQ(model.time_of(1024, 512), milliseconds(20));
}

}  // namespace
}  // namespace slora
