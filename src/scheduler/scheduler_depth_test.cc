// Two plans uncommitted at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/testing/probed_policy.h"
#include "scheduler/testing/scheduler_play.h"

namespace slora {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

SchedulerOptions two_deep_options() {
  SchedulerOptions options = small_options();
  options.depth = 2;
  return options;
}

TEST(SchedulerAtDepthTwo, NamesRowsOfTheUncommittedPlan) {
  Play play(two_deep_options());
  ASSERT_TRUE(play.add(1, 4, 3));
  ASSERT_TRUE(play.add(2, 4, 3));
  play.schedule();
  play.schedule();
  EXPECT_EQ(play.spans(), (Spans{{1, 1}, {2, 1}}));
  EXPECT_EQ(play.latest.tokens[0].value, -1);
  EXPECT_EQ(play.latest.tokens[0].previous_row, 0);
  EXPECT_EQ(play.latest.tokens[1].previous_row, 1);
  play.commit();
  play.schedule();
  EXPECT_EQ(play.latest.tokens[0].previous_row, 0);
  play.commit();
  EXPECT_TRUE(play.schedule().empty());  // the last token of both is under way
  play.commit();
  EXPECT_EQ(play.take_ended(), (Ends{{1, EndReason::length}, {2, EndReason::length}}));
}

TEST(SchedulerAtDepthTwo, IgnoresRowsBehindAStopAndKeepsTheirPages) {
  Play play(two_deep_options());
  ASSERT_TRUE(play.add(1, 3, 30));
  play.schedule();
  play.schedule();
  play.commit({{1, RowOutcome::stop}});
  EXPECT_EQ(play.take_ended(), (Ends{{1, EndReason::stop}}));
  EXPECT_EQ(play.scheduler.stats().pages_free, 15u);  // the second plan still writes to it
  play.commit();
  EXPECT_THAT(play.take_ended(), IsEmpty());
  EXPECT_EQ(play.scheduler.stats().pages_free, 16u);
}

TEST(SchedulerAtDepthTwo, KeepsTheImageOfACancelledSequenceUntilItsPlansAreCommitted) {
  Play play(two_deep_options());
  ASSERT_TRUE(play.add(1, 4, 20, 5, 8));
  play.schedule();
  play.scheduler.adapter_landed(AdapterId{5});
  play.schedule();
  play.scheduler.cancel(SequenceId{1});
  ASSERT_TRUE(play.add(2, 4, 4, 6, 12));
  play.schedule();
  EXPECT_THAT(play.latest.loads, IsEmpty());
  play.commit();
  play.schedule();
  EXPECT_EQ(play.latest.loads.size(), 1u);
}

TEST(SchedulerAtDepthTwo, TellsThePolicyHowLongEachStepTook) {
  std::vector<MeasuredStep> seen;
  const auto note = [&](const StepView& view) { seen.assign(view.measured.begin(), view.measured.end()); };
  Play play(two_deep_options(),
            std::make_unique<ProbedPolicy>(
                std::make_unique<FcfsPolicy>(), [](std::span<const ServiceCharge>) {}, note, [](const StepView&, const StepDecision&) {}));
  ASSERT_TRUE(play.add(1, 10, 4));
  play.schedule();
  play.schedule();
  play.commit({}, Timestamp{100});
  play.schedule();
  EXPECT_THAT(seen, ElementsAre(MeasuredStep{10, Timestamp{100}}));
  play.commit({}, Timestamp{7});
  play.commit();
  play.schedule();
  EXPECT_THAT(seen, ElementsAre(MeasuredStep{0, Timestamp{7}})) << "the last was not measured";
  play.commit();
}

}  // namespace
}  // namespace slora
