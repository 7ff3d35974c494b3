#include "scheduler/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/policies/priority.h"
#include "scheduler/testing/scheduler_play.h"

namespace slora {
namespace {

using testing::IsEmpty;

TEST(Scheduler, ComputesPromptThenOneTokenPerStepAndEndsByLength) {
  Play play(small_options());
  ASSERT_TRUE(play.add(1, 6, 3));
  play.step();
  EXPECT_EQ(play.spans(), (Spans{{1, 6}}));
  EXPECT_EQ(play.latest.spans[0].output_row, 0);
  EXPECT_EQ(play.latest.spans[0].page_count, 2);
  play.step();
  EXPECT_EQ(play.spans(), (Spans{{1, 1}}));
  EXPECT_EQ(play.latest.spans[0].position_begin, 6);
  EXPECT_EQ(play.latest.tokens[0].value, 7);
  EXPECT_THAT(play.take_ended(), IsEmpty());
  play.step();
  EXPECT_EQ(play.take_ended(), (Ends{{1, EndReason::length}}));
  EXPECT_TRUE(play.schedule().empty());
}

TEST(Scheduler, JoinsTheStepAfterAndLeavesAtOnce) {
  Play play(small_options());
  ASSERT_TRUE(play.add(1, 4, 8));
  play.step();
  ASSERT_TRUE(play.add(2, 4, 8));
  play.step();
  EXPECT_EQ(play.spans(), (Spans{{1, 1}, {2, 4}}));
  play.step({{1, RowOutcome::stop}});
  EXPECT_EQ(play.take_ended(), (Ends{{1, EndReason::stop}}));
  play.step();
  EXPECT_EQ(play.spans(), (Spans{{2, 1}}));
}

TEST(Scheduler, CutsPromptsToTheBudgetBehindTheSingleTokens) {
  Play play(small_options());
  ASSERT_TRUE(play.add(1, 4, 8));
  play.step();
  ASSERT_TRUE(play.add(2, 30, 2));
  ASSERT_TRUE(play.add(3, 4, 2));
  play.step();
  EXPECT_EQ(play.spans(), (Spans{{1, 1}, {2, 11}, {3, 4}})) << "the shorter prompt is not held up by the longer one";
  EXPECT_EQ(play.latest.spans[1].output_row, -1);
  EXPECT_EQ(play.latest.spans[2].output_row, 1);
  play.step();
  EXPECT_EQ(play.spans(), (Spans{{1, 1}, {2, 14}, {3, 1}}));
  EXPECT_EQ(play.latest.spans[1].output_row, -1);
  play.step();
  EXPECT_EQ(play.spans(), (Spans{{1, 1}, {2, 5}}));
  EXPECT_EQ(play.latest.spans[1].output_row, 1);
}

TEST(Scheduler, RefusesWhatNeverFitsAndWhatExceedsTheQueue) {
  SchedulerOptions options = small_options();
  options.waiting_max = 1;
  Play play(options);
  const Status too_long = play.add(1, 60, 5);
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().code, "never_fits");
  const Status too_long_beside_adapter = play.add(2, 40, 21, 5, 1);
  ASSERT_FALSE(too_long_beside_adapter);
  EXPECT_EQ(tokens_that_fit(options, 1), 60);
  ASSERT_TRUE(play.add(3, 60, 4));
  const Status full = play.add(4, 4, 4);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, "queue_full");
  play.run_dry();
  EXPECT_EQ(play.take_ended(), (Ends{{3, EndReason::length}}));
}

TEST(Scheduler, WaitsForTheAdapterWhileOthersGoOn) {
  Play play(small_options());
  ASSERT_TRUE(play.add(1, 4, 8, 5, 2));
  ASSERT_TRUE(play.add(2, 4, 8));
  play.step();
  EXPECT_EQ(play.spans(), (Spans{{2, 4}}));
  ASSERT_EQ(play.latest.loads.size(), 1u);
  EXPECT_EQ(play.latest.loads[0].adapter, AdapterId{5});
  EXPECT_EQ(play.latest.loads[0].pages.size(), 2u);
  play.step();
  EXPECT_EQ(play.spans(), (Spans{{2, 1}}));
  EXPECT_THAT(play.latest.loads, IsEmpty());
  play.scheduler.adapter_landed(AdapterId{5});
  play.step();
  EXPECT_EQ(play.spans(), (Spans{{1, 4}, {2, 1}}));
}

TEST(Scheduler, LetsOthersRunWhileSequencesWaitForTheirImages) {
  SchedulerOptions options = small_options();
  options.running_max = 2;
  Play play(options);
  ASSERT_TRUE(play.add(1, 1, 3, 5, 1));
  ASSERT_TRUE(play.add(2, 1, 9));
  ASSERT_TRUE(play.add(3, 1, 9));
  play.step();
  EXPECT_EQ(play.spans(), (Spans{{2, 1}, {3, 1}}));
  EXPECT_EQ(play.scheduler.stats().loading, 1u);
  EXPECT_EQ(play.scheduler.stats().running, 2u);
  play.scheduler.adapter_landed(AdapterId{5});
  for (int i = 0; i < 3; ++i) {
    play.step();
    EXPECT_EQ(play.spans(), (Spans{{1, 1}, {2, 1}})) << "the youngest pauses";
  }
  play.step();
  EXPECT_EQ(play.spans(), (Spans{{2, 1}, {3, 1}}));
  play.run_dry();
}

TEST(Scheduler, AFailedLoadEndsOnlyItsOwnSequences) {
  Play play(small_options());
  ASSERT_TRUE(play.add(1, 4, 4, 5, 2));
  ASSERT_TRUE(play.add(2, 4, 4, 5, 2));
  ASSERT_TRUE(play.add(3, 4, 4, 6, 2));
  ASSERT_TRUE(play.add(4, 4, 4));
  play.step();
  EXPECT_EQ(play.latest.loads.size(), 2u);
  play.scheduler.adapter_failed(AdapterId{5});
  EXPECT_EQ(play.take_ended(), (Ends{{1, EndReason::adapter_failed}, {2, EndReason::adapter_failed}}));
  play.scheduler.adapter_landed(AdapterId{6});
  play.run_dry();
  EXPECT_EQ(play.take_ended(), (Ends{{4, EndReason::length}, {3, EndReason::length}}));

  ASSERT_TRUE(play.add(5, 4, 4, 5, 2));  // and may be tried again
  play.run_dry();
  EXPECT_EQ(play.take_ended(), (Ends{{5, EndReason::length}}));
}

TEST(Scheduler, PreemptsTheYoungestAndComputesItAgain) {
  Play play(small_options());
  ASSERT_TRUE(play.add(1, 8, 40));
  ASSERT_TRUE(play.add(2, 8, 40));
  play.run_dry();
  EXPECT_EQ(play.take_ended(), (Ends{{1, EndReason::length}, {2, EndReason::length}}));
  EXPECT_GE(play.scheduler.stats().preemptions, 1u);
}

TEST(Scheduler, PreemptsNobodyMoreThanThreeTimes) {
  SchedulerOptions options = small_options();
  options.page_count = 12;
  Play play(options);
  std::uint64_t id = 1;
  for (int step = 0; step < 600; ++step) {
    if (play.scheduler.stats().waiting < 4) {
      ASSERT_TRUE(play.add(id++, 3, 40));
    }
    play.step();  // the invariants hold the bound
  }
  EXPECT_GE(play.scheduler.stats().preemptions, 10u);
}

TEST(Scheduler, PromisesNothingMoreToAReservedSequenceWhoseImageIsLoading) {
  SchedulerOptions options = small_options();
  options.running_max = 2;
  Play play(options, std::make_unique<PriorityPolicy>());
  ASSERT_TRUE(play.add(9, 1, 1, 9, 2));
  play.run_dry();  // brings the adapter
  for (std::uint64_t id = 1; id <= 3; ++id) {
    SequenceRequest older = Play::request(id, {0}, 63);
    older.priority = 1;
    ASSERT_TRUE(play.add(older));
  }
  ASSERT_TRUE(play.add(4, 8, 46, 9, 2));  // the youngest, but first in line
  for (std::uint64_t count = 1; count <= 3; ++count) {
    for (int step = 0; step < 100 && play.scheduler.stats().preemptions < count; ++step) play.step();
    ASSERT_EQ(play.scheduler.stats().preemptions, count);
    if (count < 3) play.scheduler.cancel(SequenceId{count});
  }
  for (int step = 0; step < 100 && play.scheduler.stats().pages_adapter > 0; ++step) play.step();
  play.scheduler.cancel(SequenceId{3});
  play.step();  // the invariants hold what is promised
  EXPECT_EQ(play.latest.loads.size(), 1u);
  EXPECT_EQ(play.scheduler.stats().pages_sequence, 14u);
  ASSERT_TRUE(play.add(5, 16, 1));
  EXPECT_TRUE(play.step().empty());
  play.scheduler.adapter_landed(AdapterId{9});
  play.run_dry();
}

TEST(Scheduler, CancelsInEveryState) {
  SchedulerOptions options = small_options();
  options.running_max = 2;
  Play play(options);
  ASSERT_TRUE(play.add(1, 4, 50));
  ASSERT_TRUE(play.add(2, 4, 50));
  ASSERT_TRUE(play.add(3, 4, 4, 5, 2));
  ASSERT_TRUE(play.add(4, 4, 4));
  while (play.scheduler.stats().preemptions == 0) play.step();
  play.scheduler.cancel(SequenceId{4});  // waiting
  play.scheduler.cancel(SequenceId{3});  // its adapter is loading
  play.scheduler.cancel(SequenceId{2});  // preempted
  play.schedule();
  play.scheduler.cancel(SequenceId{1});  // in an uncommitted plan
  play.scheduler.cancel(SequenceId{1});  // ended
  play.scheduler.cancel(SequenceId{99});
  play.expect_sound();
  EXPECT_EQ(play.take_ended(),
            (Ends{{4, EndReason::cancelled}, {3, EndReason::cancelled}, {2, EndReason::cancelled}, {1, EndReason::cancelled}}));
  play.commit();
  EXPECT_THAT(play.take_ended(), IsEmpty());
  play.scheduler.adapter_landed(AdapterId{5});
  play.scheduler.clear_caches();
  EXPECT_EQ(play.scheduler.stats().pages_free, options.page_count);
}

}  // namespace
}  // namespace slora
