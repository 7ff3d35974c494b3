#include "scheduler/policies/deadline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "scheduler/testing/scheduler_play.h"

namespace slora {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;

// A server whose steps take 10 ms for every 100 tokens of prompts, at most 100 tokens a step, and an SLO of 1 s.
struct DeadlineCase {
  explicit DeadlineCase(const DeadlineLimits& limits = {.first_token_slo = milliseconds(1000), .assumed_prefill_time = milliseconds(100)})
      : policy(limits) {}

  DeadlinePolicy policy;
  std::vector<SequenceView> waiting, running = {{.id = {}, .tenant = {}, .client = {}, .adapter = {}, .tokens_to_compute = 1}};
  std::vector<MeasuredStep> measured;
  Timestamp now = milliseconds(10'000);
  std::uint64_t sequence_count = 0;

  void wait(std::int32_t tokens, Timestamp waited, Timestamp deadline = kNoDeadline) {
    SequenceView view;
    view.id = SequenceId{++sequence_count};
    view.tokens_to_compute = tokens;
    view.arrival = now - waited;
    view.deadline = deadline;
    waiting.push_back(view);
  }
  StepDecision decide() {
    StepDecision decision;
    decision.queue.resize(waiting.size());
    std::iota(decision.queue.begin(), decision.queue.end(), std::size_t{0});
    StepView view;
    view.waiting = waiting;
    view.running = running;
    view.now = now;
    view.prompt_tokens_max = 100;
    view.measured = measured;
    policy.decide(view, decision);
    measured.clear();
    return decision;
  }
  // A step with 100 tokens of a prompt.
  void compute(Timestamp time) {
    const ServiceCharge charge{.prompt_tokens = 100};
    policy.charge({&charge, 1});
    measured.push_back({charge.prompt_tokens, time});
    now += time;
  }
  void measure() {
    for (int i = 0; i < 10; ++i) {
      compute(milliseconds(10));
      static_cast<void>(decide());
    }
  }
};

TEST(DeadlinePolicy, ServesByArrivalWhenAllCanMakeIt) {
  DeadlineCase play;
  play.measure();
  for (const int waited : {300, 200, 100}) play.wait(1000, milliseconds(waited));
  const StepDecision decision = play.decide();
  EXPECT_THAT(decision.queue, ElementsAre(0, 1, 2));
  EXPECT_THAT(decision.given_up, IsEmpty());
  EXPECT_FALSE(play.policy.is_overloaded());
}

TEST(DeadlinePolicy, GivesUpWhoseOwnPromptTakesLongerThanIsLeft) {
  DeadlineCase play;
  play.measure();
  play.wait(2100, milliseconds(800));  // 210 ms of 200
  play.wait(1900, milliseconds(800));
  EXPECT_THAT(play.decide().given_up, ElementsAre(0));
}

TEST(DeadlinePolicy, CountsNothingForWhatIsCached) {
  DeadlineCase play;
  play.measure();
  play.wait(2100, milliseconds(800));
  play.waiting[0].cached_tokens = 2000;
  EXPECT_THAT(play.decide().given_up, IsEmpty());
}

TEST(DeadlinePolicy, HonoursARequestsOwnDeadlineIfItIsEarlier) {
  DeadlineCase play;
  play.measure();
  play.wait(100, milliseconds(100), play.now + milliseconds(5));
  play.wait(100, milliseconds(100), play.now + milliseconds(50));
  play.wait(100, milliseconds(995), play.now + milliseconds(5000));
  EXPECT_THAT(play.decide().given_up, ElementsAre(0, 2)) << "a later one does not extend the server's";
}

TEST(DeadlinePolicy, GivesNobodyUpByATimeThatItAssumes) {
  DeadlineCase play;
  play.wait(50'000, milliseconds(890));
  play.wait(1, milliseconds(910));
  play.wait(1, milliseconds(1001));
  EXPECT_THAT(play.decide().given_up, ElementsAre(2)) << "its time is over";
}

TEST(DeadlinePolicy, TriesTheNewestWhenNothingRuns) {
  DeadlineCase play;
  play.measure();
  play.running.clear();
  play.wait(50'000, milliseconds(910));
  play.wait(50'000, milliseconds(890));
  EXPECT_THAT(play.decide().given_up, ElementsAre(0));
  play.waiting[1].deadline = play.now - milliseconds(1);
  EXPECT_THAT(play.decide().given_up, ElementsAre(0, 1)) << "its time is over";
}

// A request may have several sequences, and the engine may receive the first a step before the others.
TEST(DeadlinePolicy, TriesAllSequencesOfTheNewestRequestWhenNoOtherRuns) {
  DeadlineCase play;
  play.measure();
  const std::vector<SequenceView> others = play.running;
  play.running.clear();
  for (int i = 0; i < 3; ++i) play.wait(50'000, milliseconds(0));
  EXPECT_THAT(play.decide().given_up, IsEmpty());
  play.running = {play.waiting.front()};
  play.waiting.erase(play.waiting.begin());
  EXPECT_THAT(play.decide().given_up, IsEmpty());
  play.running.insert(play.running.begin(), others.begin(), others.end());
  EXPECT_THAT(play.decide().given_up, ElementsAre(0, 1));
}

// As long as one sequence generates a long answer, nothing else would correct an estimate that is too long for every prompt.
TEST(DeadlinePolicy, TriesTheNewestWhenNoPromptWasComputedForLong) {
  DeadlineCase play;
  play.measure();
  play.now += milliseconds(999);
  for (int i = 0; i < 2; ++i) play.wait(50'000, milliseconds(2 - i));
  EXPECT_THAT(play.decide().given_up, ElementsAre(0, 1));
  play.now += milliseconds(1);
  EXPECT_THAT(play.decide().given_up, ElementsAre(0));
  play.compute(milliseconds(10));
  EXPECT_THAT(play.decide().given_up, ElementsAre(0, 1));
}

// While another process has the cores, steps take two hundred times as long, and no prompt can be in time.
TEST(DeadlinePolicy, ServesAgainAfterTheFirstStepOfAMachineThatWasSlow) {
  DeadlineCase play;
  play.measure();
  const auto compute = [&](Timestamp time) {
    play.compute(time);
    play.waiting.clear();
    play.wait(100, milliseconds(0));
    return play.decide().given_up.size();
  };
  EXPECT_EQ(compute(milliseconds(2000)), 0u) << "one slow step says little";
  for (int i = 0; i < 40; ++i) static_cast<void>(compute(milliseconds(2000)));
  EXPECT_EQ(compute(milliseconds(2000)), 1u);
  EXPECT_EQ(compute(milliseconds(10)), 0u);
}

// Ten prompts of 200 ms that came at once: five can be served, and the five newest are.
TEST(DeadlinePolicy, ServesTheNewestFirstUntilAllHaveTimeLeft) {
  DeadlineCase play;
  play.measure();
  for (int i = 0; i < 10; ++i) play.wait(2000, milliseconds(10 - i));
  EXPECT_THAT(play.decide().queue, ElementsAre(9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
  EXPECT_TRUE(play.policy.is_overloaded());
  play.waiting.resize(4);  // 800 ms for what has 990 left: no overload would begin, but this one goes on
  EXPECT_THAT(play.decide().queue, ElementsAre(3, 2, 1, 0));
  play.waiting.resize(2);
  EXPECT_THAT(play.decide().queue, ElementsAre(0, 1));
  EXPECT_FALSE(play.policy.is_overloaded());
}

constexpr DeadlineLimits kAttainment{
    .first_token_slo = milliseconds(1000), .assumed_prefill_time = milliseconds(100), .reward = FirstTokenReward::attainment};

// The same ten: of equal prompts the newest that can be served are, in order.
TEST(DeadlinePolicy, ForAttainmentServesTheLatestThatAreInTimeByArrival) {
  DeadlineCase play(kAttainment);
  play.measure();
  for (int i = 0; i < 10; ++i) play.wait(2000, milliseconds(10 - i));
  EXPECT_THAT(play.decide().queue, ElementsAre(6, 7, 8, 9, 5, 4, 3, 2, 1, 0)) << "four are in time, 200 ms each in 990 to 999";
  EXPECT_TRUE(play.policy.is_overloaded());
  play.waiting.resize(2);
  EXPECT_THAT(play.decide().queue, ElementsAre(0, 1));
  EXPECT_FALSE(play.policy.is_overloaded());
}

// 990 ms for prompts of 500, 300, 100, 400 and 100 ms: without the longest, four are in time; with it at most three.
TEST(DeadlinePolicy, ForAttainmentPutsOffTheLongestPrompts) {
  DeadlineCase play(kAttainment);
  play.measure();
  for (const int tokens : {5000, 3000, 1000, 4000, 1000}) play.wait(tokens, milliseconds(10));
  const StepDecision decision = play.decide();
  EXPECT_THAT(decision.queue, ElementsAre(1, 2, 3, 4, 0));
  EXPECT_THAT(decision.given_up, IsEmpty()) << "it is put off until it cannot make it";
}

TEST(DeadlinePolicy, ForAttainmentServesByDeadline) {
  DeadlineCase play(kAttainment);
  play.measure();
  play.wait(4000, milliseconds(10));
  play.wait(3000, milliseconds(10), play.now + milliseconds(450));
  play.wait(5000, milliseconds(10));
  EXPECT_THAT(play.decide().queue, ElementsAre(1, 0, 2));
}

TEST(DeadlinePolicy, CountsThePromptsThatRunBeforeTheQueue) {
  DeadlineCase play;
  play.measure();
  play.wait(2000, milliseconds(0));
  play.wait(2000, milliseconds(0));
  static_cast<void>(play.decide());
  EXPECT_FALSE(play.policy.is_overloaded());
  SequenceView long_prompt;
  long_prompt.tokens_to_compute = 7000;
  play.running.push_back(long_prompt);
  static_cast<void>(play.decide());
  EXPECT_TRUE(play.policy.is_overloaded());
}

// Prompts take next to no time, but one sequence in 100 ms is all that gets a place: the eleventh in line will miss 1 s.
TEST(DeadlinePolicy, SeesOverloadByTheTimeBetweenAdmissions) {
  DeadlineCase play;
  play.measure();
  for (int i = 0; i < 7; ++i) play.wait(1, milliseconds(50));
  for (int i = 0; i < 400; ++i) {
    static_cast<void>(play.decide());
    ASSERT_FALSE(play.policy.is_overloaded()) << i;
    play.now += milliseconds(10);
    for (SequenceView& view : play.waiting) view.arrival += milliseconds(10);
    if (i % 10 == 0) play.waiting.erase(play.waiting.begin());
    if (i % 10 == 5) play.wait(1, milliseconds(50));
  }
  for (int i = 0; i < 6; ++i) play.wait(1, milliseconds(0));
  static_cast<void>(play.decide());
  EXPECT_TRUE(play.policy.is_overloaded());
}

// As above, but those that leave the queue were cancelled: nobody is admitted.
TEST(DeadlinePolicy, CountsNoAdmissionForWhoIsCancelled) {
  for (const bool is_cancelled : {false, true}) {
    DeadlineCase play;
    play.measure();
    for (int i = 0; i < 7; ++i) play.wait(1, milliseconds(50));
    for (int i = 0; i < 400; ++i) {
      static_cast<void>(play.decide());
      play.now += milliseconds(10);
      for (SequenceView& view : play.waiting) view.arrival += milliseconds(10);
      if (i % 10 == 0) {
        ServiceCharge charge{.id = play.waiting.front().id};
        if (is_cancelled) {
          charge.end = EndReason::cancelled;
        } else {
          charge.prompt_tokens = 1;
        }
        play.policy.charge({&charge, 1});
        play.waiting.erase(play.waiting.begin());
      }
      if (i % 10 == 5) play.wait(1, milliseconds(50));
    }
    EXPECT_EQ(play.policy.is_overloaded(), is_cancelled);
  }
}

// One that is admitted late in a step may have come long before: its arrival is its client's, not the scheduler's.
TEST(DeadlinePolicy, CountsAdmissionsAlsoWhenOldRequestsComeIntoTheQueue) {
  DeadlineCase play;
  play.measure();
  for (int i = 0; i < 7; ++i) play.wait(1, milliseconds(50));
  for (int i = 0; i < 400; ++i) {  // one in 100 ms starts, and one that came 50 ms ago joins in the same step
    static_cast<void>(play.decide());
    ASSERT_FALSE(play.policy.is_overloaded()) << i;
    play.now += milliseconds(10);
    for (SequenceView& view : play.waiting) view.arrival += milliseconds(10);
    if (i % 10 != 0) continue;
    play.waiting.erase(play.waiting.begin());
    play.wait(1, milliseconds(50));
  }
}

// 200,000 times more than a day is beyond what nanoseconds in 64 bits hold; the sanitizer notices when it is summed.
TEST(DeadlinePolicy, StaysInRangeWithTheLongestQueueAndTimes) {
  for (const FirstTokenReward reward : {FirstTokenReward::satisfaction, FirstTokenReward::attainment}) {
    DeadlineCase play({.first_token_slo = std::chrono::hours(24 * 365), .assumed_prefill_time = std::chrono::hours(27), .reward = reward});
    for (int i = 0; i < 200'000; ++i) play.wait(1000, milliseconds(0));
    EXPECT_THAT(play.decide().given_up, IsEmpty());
    EXPECT_TRUE(play.policy.is_overloaded());
  }
}

TEST(DeadlinePolicy, SaysWhyItGivesUp) {
  const Error error = DeadlinePolicy({}).given_up_error();
  EXPECT_EQ(error.code, "first_token_slo_missed");
  EXPECT_THAT(error.message, testing::HasSubstr("within 6 s"));
}

// In a scheduler: what runs is never given up, however late it is.
TEST(DeadlinePolicy, EndsOnlyWhoWaits) {
  SchedulerOptions options = small_options();
  options.running_max = 1;
  Play play(options,
            std::make_unique<DeadlinePolicy>(DeadlineLimits{.first_token_slo = Timestamp{100}, .assumed_prefill_time = Timestamp{10}}));
  ASSERT_TRUE(play.add(1, 8, 10));
  StepPlan plan;
  play.scheduler.schedule(plan, Timestamp{0});
  ASSERT_EQ(plan.spans.size(), 1u);
  StepResult result;
  result.rows.resize(1, {7, RowOutcome::goes_on});
  play.scheduler.commit(plan, result, play.ended);
  ASSERT_TRUE(play.add(2, 8, 10));
  play.scheduler.schedule(plan, Timestamp{1'000});
  EXPECT_EQ(play.take_ended(), (Ends{{2, EndReason::given_up}}));
  ASSERT_EQ(plan.spans.size(), 1u);
  EXPECT_EQ(plan.spans[0].sequence, SequenceId{1});
  EXPECT_EQ(play.scheduler.stats().given_up, 1u);
  EXPECT_EQ(play.scheduler.given_up_error().code, "first_token_slo_missed");
  play.scheduler.commit(plan, result, play.ended);
  play.run_dry();
}

}  // namespace
}  // namespace slora
