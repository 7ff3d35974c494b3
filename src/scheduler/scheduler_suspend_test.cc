// Sequences whose rows do not say how they go on.
#include <gtest/gtest.h>

#include "scheduler/testing/scheduler_play.h"

namespace slora {
namespace {

Status add_constrained(Play& play, std::uint64_t id, std::int32_t prompt_count, std::int32_t output_tokens_max) {
  SequenceRequest request = Play::request(id, std::vector<TokenId>(static_cast<std::size_t>(prompt_count), 5), output_tokens_max);
  request.continuation = Continuation::known;
  return play.add(std::move(request));
}

// The row of the oldest open plan's only span draws nothing.
void commit_without_token(Play& play) {
  const StepPlan plan = std::move(play.open.front());
  play.open.pop_front();
  StepResult result;
  result.rows.assign(1, {-1, RowOutcome::suspended});
  play.scheduler.commit(plan, result, play.ended);
  play.expect_sound();
}

TEST(SuspendedSequences, ComputeThePositionOnceMoreThatGaveNoToken) {
  Play play(small_options());
  ASSERT_TRUE(add_constrained(play, 1, 4, 3));  // its prompt fills a page
  play.schedule();
  commit_without_token(play);
  EXPECT_TRUE(play.step().empty());
  EXPECT_EQ(play.scheduler.stats().pages_prefix, 0u) << "a page that is written once more is nobody else's yet";
  play.scheduler.resume(SequenceId{1}, RowOutcome::goes_on);
  play.schedule();
  ASSERT_EQ(play.spans(), (Spans{{1, 1}}));
  EXPECT_EQ(play.latest.spans[0].position_begin, 3);
  EXPECT_EQ(play.latest.tokens[0].value, 5);
  EXPECT_EQ(play.latest.spans[0].output_row, 0);
  play.commit();
  EXPECT_EQ(play.scheduler.stats().pages_prefix, 1u);
  play.run_dry();
  EXPECT_EQ(play.take_ended(), (Ends{{1, EndReason::length}}));
}

TEST(SuspendedSequences, EndAsTheyAreResumed) {
  for (const auto& [outcome, reason] : {std::pair{RowOutcome::goes_on, EndReason::length},
                                        {RowOutcome::complete, EndReason::complete},
                                        {RowOutcome::stop, EndReason::stop},
                                        {RowOutcome::failed, EndReason::failed}}) {
    Play play(small_options());
    ASSERT_TRUE(add_constrained(play, 1, 3, 1));
    play.step({{1, RowOutcome::suspended}});  // with the last token that it may have
    EXPECT_EQ(play.take_ended(), Ends{});
    play.scheduler.resume(SequenceId{1}, outcome);
    EXPECT_EQ(play.take_ended(), (Ends{{1, reason}}));
  }
}

TEST(SuspendedSequences, AreNotWaitedForByOthersWhenTheyWerePreempted) {
  SchedulerOptions options = small_options();
  options.preempted_every = 2;
  Play play(options);
  ASSERT_TRUE(play.add(1, 7, 9));
  ASSERT_TRUE(add_constrained(play, 2, 6, 8));
  play.step({{2, RowOutcome::suspended}});
  play.step();
  EXPECT_EQ(play.scheduler.stats().preemptions, 1u);
  ASSERT_TRUE(play.add(3, 1, 1));
  play.step();
  EXPECT_EQ(play.spans(), (Spans{{1, 1}, {3, 1}}));
  play.scheduler.resume(SequenceId{2}, RowOutcome::goes_on);
  play.run_dry();
}

TEST(SuspendedSequences, ArePlannedAtDepthTwoWhenTheirTokenIsKnown) {
  SchedulerOptions options = small_options();
  options.depth = 2;
  Play play(options);
  ASSERT_TRUE(play.add(1, 4, 5));
  ASSERT_TRUE(add_constrained(play, 2, 4, 5));
  play.schedule();
  play.schedule();
  EXPECT_EQ(play.spans(), (Spans{{1, 1}}));
  play.commit();
  play.schedule();
  EXPECT_EQ(play.spans(), (Spans{{1, 1}, {2, 1}}));
  EXPECT_EQ(play.latest.tokens[1].value, 7);
  play.commit();
  play.commit();
  play.run_dry();
}

}  // namespace
}  // namespace slora
