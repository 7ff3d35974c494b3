#include "scheduler/policies/prefill_model.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

void note_steps(PrefillModel& model, int count, std::int64_t tokens, Timestamp elapsed) {
  for (int i = 0; i < count; ++i) model.note(tokens, elapsed);
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
  model.note(100, milliseconds(120));
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

TEST(PrefillModel, FollowsTheLatestSteps) {
  PrefillModel model(milliseconds(500));
  note_steps(model, 100, 100, milliseconds(100));
  EXPECT_NEAR(seconds(model.time_of(100, 512)), 0.1, 1e-6);
  note_steps(model, 50, 100, milliseconds(300));
  EXPECT_NEAR(seconds(model.time_of(100, 512)), 0.3, 0.01);
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
