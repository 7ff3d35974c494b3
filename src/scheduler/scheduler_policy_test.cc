// What the scheduler shows a policy, and what it makes of its decisions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "scheduler/policies/fcfs.h"
#include "scheduler/testing/least_served_policy.h"
#include "scheduler/testing/probed_policy.h"
#include "scheduler/testing/scheduler_play.h"

namespace slora {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Decides as the test says, and remembers the latest views and all charges.
class ScriptedPolicy final : public Policy {
 public:
  [[nodiscard]] bool reads_cached_tokens() const override { return true; }
  void charge(std::span<const ServiceCharge> charges) override { charged.insert(charged.end(), charges.begin(), charges.end()); }
  void decide(const StepView& view, StepDecision& decision) override {
    waiting.assign(view.waiting.begin(), view.waiting.end());
    preempted.assign(view.preempted.begin(), view.preempted.end());
    running.assign(view.running.begin(), view.running.end());
    prompt_tokens_max = view.prompt_tokens_max;
    if (script) script(view, decision);
  }
  [[nodiscard]] std::int32_t prompt_tokens(const SequenceView& sequence, std::int32_t left) override {
    return share ? share(sequence, left) : left;
  }

  std::function<void(const StepView&, StepDecision&)> script;
  std::function<std::int32_t(const SequenceView&, std::int32_t)> share;
  std::vector<SequenceView> waiting, preempted, running;
  std::int32_t prompt_tokens_max = 0;
  std::vector<ServiceCharge> charged;
};

class SchedulerPolicyTest : public testing::Test {
 protected:
  void start(const SchedulerOptions& options) {
    auto made = std::make_unique<ScriptedPolicy>();
    policy = made.get();
    play = std::make_unique<Play>(options, std::move(made));
  }

  std::unique_ptr<Play> play;
  ScriptedPolicy* policy = nullptr;  // of `play`
};

TEST_F(SchedulerPolicyTest, MakesAStepAsSmallAsThePolicySays) {
  start(small_options());
  ASSERT_TRUE(play->add(1, 24, 4));
  ASSERT_TRUE(play->add(2, 24, 4));
  std::int32_t most = 5;
  policy->script = [&](const StepView&, StepDecision& decision) {
    EXPECT_EQ(decision.prompt_tokens_max, kAnyPromptTokens);
    decision.prompt_tokens_max = most;
  };
  EXPECT_EQ((play->step(), play->spans()), (Spans{{1, 5}}));
  most = 0;
  EXPECT_EQ((play->step(), play->spans()), (Spans{{1, 1}})) << "the oldest advances";
  most = 1000;
  EXPECT_EQ((play->step(), play->spans()), (Spans{{1, 16}})) << "no more than a step may have";
  most = 5;
  EXPECT_EQ((play->step(), play->spans()), (Spans{{1, 2}, {2, 3}}));
  EXPECT_EQ((play->step(), play->spans()), (Spans{{1, 1}, {2, 5}})) << "what is generated does not count";
  most = kAnyPromptTokens;
  play->run_dry();
}

TEST_F(SchedulerPolicyTest, ShowsWhoWaitsAndWhoRuns) {
  SchedulerOptions options = small_options();
  options.running_max = 1;
  start(options);
  ASSERT_TRUE(play->add(1, 8, 4));
  play->step();
  SequenceRequest same = Play::request(2, {1000, 1001, 1002, 1003, 1004, 5}, 10);  // begins as 1 does
  same.priority = -3;
  same.deadline = Timestamp{77};
  ASSERT_TRUE(play->add(same));
  ASSERT_TRUE(play->add(3, 20, 9, 5, 2));
  play->step();
  ASSERT_EQ(policy->running.size(), 1u);
  EXPECT_EQ(policy->running[0].id, SequenceId{1});
  EXPECT_EQ(policy->running[0].tokens_to_compute, 1);
  EXPECT_EQ(policy->running[0].output_count, 1);
  EXPECT_EQ(policy->running[0].page_count, 2u);
  EXPECT_EQ(policy->running[0].pages_max, 3u);
  EXPECT_EQ(policy->prompt_tokens_max, 15);
  ASSERT_EQ(policy->waiting.size(), 2u);
  EXPECT_EQ(policy->waiting[0].priority, -3);
  EXPECT_EQ(policy->waiting[0].deadline, Timestamp{77});
  EXPECT_EQ(policy->waiting[0].tokens_to_compute, 6);
  EXPECT_EQ(policy->waiting[0].cached_tokens, 4);
  EXPECT_EQ(policy->waiting[0].pages_to_start, 3u);
  EXPECT_EQ(policy->waiting[1].deadline, kNoDeadline);
  EXPECT_EQ(policy->waiting[1].adapter_page_count, 2u);
  EXPECT_EQ(policy->waiting[1].adapter_state, AdapterState::absent);
  play->step();  // the step before prefetched the adapter
  EXPECT_EQ(policy->waiting[1].adapter_state, AdapterState::loading);
  play->scheduler.adapter_landed(AdapterId{5});
  play->step();
  EXPECT_EQ(policy->waiting[1].adapter_state, AdapterState::resident);
}

TEST(SchedulerPolicy, LooksUpNoPrefixForAPolicyThatDoesNotReadWhatIsCached) {
  std::vector<std::int32_t> seen;
  const auto note = [&](const StepView& view) {
    for (const SequenceView& sequence : view.waiting) seen.push_back(sequence.cached_tokens);
  };
  Play play(small_options(),
            std::make_unique<ProbedPolicy>(
                std::make_unique<FcfsPolicy>(), [](std::span<const ServiceCharge>) {}, note, [](const StepView&, const StepDecision&) {}));
  ASSERT_TRUE(play.add(Play::request(1, {1, 2, 3, 4, 5}, 1)));
  play.run_dry();
  ASSERT_TRUE(play.add(Play::request(2, {1, 2, 3, 4, 5}, 1)));
  play.schedule();
  EXPECT_EQ(play.scheduler.cached_tokens(SequenceId{2}), 4) << "it is read all the same";
  play.commit();
  EXPECT_THAT(seen, ElementsAre(0, 0));
}

TEST_F(SchedulerPolicyTest, TriesTheQueueInTheDecidedOrderAndLeavesOutTheRest) {
  start(small_options());
  policy->script = [](const StepView& view, StepDecision& decision) {
    decision.queue.clear();
    for (std::size_t i = view.waiting.size(); i > 0; --i)
      if (view.waiting[i - 1].id != SequenceId{2}) decision.queue.push_back(i - 1);
  };
  for (std::uint64_t id = 1; id <= 3; ++id) ASSERT_TRUE(play->add(id, 4, 2));
  play->step();
  EXPECT_EQ(play->latest.spans.front().sequence, SequenceId{3});
  EXPECT_EQ(play->spans(), (Spans{{3, 4}, {1, 4}, {2, 4}})) << "nothing ran, so the one left out followed";
  ASSERT_TRUE(play->add(4, 4, 2));
  policy->script = [](const StepView&, StepDecision& decision) { decision.queue.clear(); };
  play->step();
  EXPECT_EQ(play->spans(), (Spans{{1, 1}, {2, 1}, {3, 1}}));
  play->step();
  EXPECT_EQ(play->spans(), (Spans{{4, 4}})) << "nothing runs any more";
}

TEST_F(SchedulerPolicyTest, EndsWhoIsGivenUp) {
  start(small_options());
  for (std::uint64_t id = 1; id <= 4; ++id) ASSERT_TRUE(play->add(id, 4, 1));
  policy->script = [](const StepView&, StepDecision& decision) { decision.given_up = {2, 0}; };
  play->schedule();
  EXPECT_EQ(play->take_ended(), (Ends{{3, EndReason::given_up}, {1, EndReason::given_up}}));
  EXPECT_EQ(play->spans(), (Spans{{2, 4}, {4, 4}}));
  policy->script = nullptr;
  play->commit();
}

TEST_F(SchedulerPolicyTest, PassesOverWhatDoesNotFitAsOftenAsThePolicyAndTheBoundAllow) {
  SchedulerOptions options = small_options();
  options.overtaken_max = 2;
  start(options);
  ASSERT_TRUE(play->add(1, 16, 44));
  play->step();
  ASSERT_TRUE(play->add(2, 4, 4, 5, 12));  // its adapter does not fit next to the first
  for (std::uint64_t id = 3; id <= 6; ++id) ASSERT_TRUE(play->add(id, 4, 1));
  play->step();
  EXPECT_EQ(play->spans(), (Spans{{1, 1}})) << "nobody may be passed over";
  policy->script = [](const StepView&, StepDecision& decision) { decision.passed_over_max = 1; };
  play->step();
  EXPECT_EQ(play->spans(), (Spans{{1, 1}, {3, 4}, {4, 4}})) << "two times is the bound";
  play->step();
  EXPECT_EQ(policy->waiting.front().overtaken_count, 2);
  EXPECT_EQ(play->spans(), (Spans{{1, 1}}));
  while (play->latest.loads.empty()) play->step();
  EXPECT_EQ(play->latest.loads[0].adapter, AdapterId{5});
}

TEST_F(SchedulerPolicyTest, PreemptsTheLastInTheDecidedOrderButNeverTheOldest) {
  start(small_options());
  for (std::uint64_t id = 1; id <= 3; ++id) ASSERT_TRUE(play->add(id, 5, 40));
  policy->script = [](const StepView& view, StepDecision& decision) {  // the oldest last, then the second, the third first
    for (std::size_t i = 0; i < view.running.size(); ++i) decision.running[i] = view.running.size() - 1 - i;
  };
  while (play->scheduler.stats().preemptions == 0) play->step();
  play->step();
  ASSERT_EQ(policy->preempted.size(), 1u);
  EXPECT_EQ(policy->preempted[0].id, SequenceId{2});
  EXPECT_EQ(policy->preempted[0].preemption_count, 1);
  while (play->scheduler.stats().preemptions == 1) play->step();
  EXPECT_EQ(play->spans().front().first, 1u);
  play->run_dry();
}

TEST_F(SchedulerPolicyTest, SharesPromptTokensAsDecidedAndTheRestAmongThoseCutShort) {
  start(small_options());  // 16 tokens in a step
  policy->share = [](const SequenceView&, std::int32_t) { return 4; };
  ASSERT_TRUE(play->add(1, 25, 1));
  ASSERT_TRUE(play->add(2, 3, 1));
  ASSERT_TRUE(play->add(3, 12, 1));
  play->step();
  EXPECT_EQ(play->spans(), (Spans{{1, 9}, {2, 3}, {3, 4}}));
  play->step();
  EXPECT_EQ(play->spans(), (Spans{{1, 12}, {3, 4}})) << "the rest goes to the first that was cut short";
}

TEST_F(SchedulerPolicyTest, GivesTheOldestATokenAndThoseThatGotNothingTheRest) {
  start(small_options());
  ASSERT_TRUE(play->add(1, 30, 1));
  play->step();
  ASSERT_TRUE(play->add(2, 30, 1));
  policy->share = [](const SequenceView& sequence, std::int32_t left) { return sequence.id == SequenceId{2} ? left : 0; };
  play->step();
  EXPECT_EQ(play->spans(), (Spans{{1, 1}, {2, 15}}));
  policy->share = [](const SequenceView& sequence, std::int32_t left) { return sequence.id == SequenceId{1} ? left : 0; };
  play->step();
  EXPECT_EQ(play->spans(), (Spans{{1, 13}, {2, 3}}));
}

TEST_F(SchedulerPolicyTest, ChargesEverythingOnce) {
  SchedulerOptions options = small_options();
  start(options);
  SequenceRequest first = Play::request(1, std::vector<TokenId>(8, 3), 40);
  first.client = ClientId{7};
  ASSERT_TRUE(play->add(first));
  ASSERT_TRUE(play->add(2, 8, 40, 5, 2));
  ASSERT_TRUE(play->add(3, 4, 3));
  play->step();
  play->scheduler.adapter_landed(AdapterId{5});
  play->run_dry();
  play->schedule();

  std::map<std::uint64_t, ServiceCharge> sums;
  for (const ServiceCharge& charge : policy->charged) {
    ServiceCharge& sum = sums[charge.id.value];
    EXPECT_FALSE(sum.end) << "the end comes last, and once";
    sum.client = charge.client;
    sum.prompt_tokens += charge.prompt_tokens;
    sum.recomputed_tokens += charge.recomputed_tokens;
    sum.output_tokens += charge.output_tokens;
    sum.adapter_pages += charge.adapter_pages;
    sum.end = charge.end;
  }
  ASSERT_EQ(sums.size(), 3u);
  EXPECT_EQ(sums[1].client, ClientId{7});
  EXPECT_EQ(sums[1].prompt_tokens, 8);
  EXPECT_EQ(sums[1].output_tokens, 40);
  EXPECT_EQ(sums[1].recomputed_tokens, 0);
  EXPECT_EQ(sums[2].prompt_tokens, 8);
  EXPECT_EQ(sums[2].output_tokens, 40);
  EXPECT_GT(sums[2].recomputed_tokens, 0) << "it was preempted";
  EXPECT_GE(sums[2].adapter_pages, 2u);
  EXPECT_EQ(sums[3].adapter_pages, 0u);
  EXPECT_EQ(sums[3].end, EndReason::length);
}

TEST_F(SchedulerPolicyTest, ChargesALoadAheadToTheFirstThatIsAdmittedAfterIt) {
  SchedulerOptions options = small_options();
  options.running_max = 1;
  start(options);
  const auto loads_charged = [&] {
    std::map<std::uint64_t, std::uint32_t> pages;
    for (const ServiceCharge& charge : policy->charged)
      if (charge.adapter_pages > 0) pages[charge.id.value] += charge.adapter_pages;
    return pages;
  };
  ASSERT_TRUE(play->add(1, 4, 6));
  play->step();
  ASSERT_TRUE(play->add(2, 4, 1, 5, 2));
  play->step();
  ASSERT_EQ(play->scheduler.stats().adapter_prefetches, 1u);
  play->scheduler.adapter_landed(AdapterId{5});
  play->step();
  EXPECT_THAT(loads_charged(), IsEmpty()) << "2 waits";
  play->scheduler.cancel(SequenceId{2});
  ASSERT_TRUE(play->add(3, 4, 1, 5, 2));
  ASSERT_TRUE(play->add(4, 4, 1, 5, 2));
  play->run_dry();
  play->schedule();
  EXPECT_THAT(loads_charged(), ElementsAre(testing::Pair(3u, 2u)));
}

TEST_F(SchedulerPolicyTest, LetsNothingOvertakeAPreemptedSequenceThatThePolicyHoldsBack) {
  start(small_options());
  ASSERT_TRUE(play->add(1, 8, 40));
  ASSERT_TRUE(play->add(2, 8, 40));
  while (play->scheduler.stats().preemptions == 0) play->step();
  policy->share = [](const SequenceView& sequence, std::int32_t left) { return sequence.id == SequenceId{2} ? 0 : left; };
  ASSERT_TRUE(play->add(3, 4, 4));
  play->step();
  ASSERT_EQ(policy->preempted.size(), 1u);
  for (int step = 0; step < 100 && play->spans() == Spans{{1, 1}}; ++step) play->step();
  EXPECT_THAT(play->spans(), testing::Contains(testing::Key(2u)));
  play->run_dry();
}

TEST_F(SchedulerPolicyTest, TriesASequenceAtTheBoundFirstWhateverThePolicyDecides) {
  using Script = std::function<void(const StepView&, StepDecision&)>;
  using Share = std::function<std::int32_t(const SequenceView&, std::int32_t)>;
  const Script reverse = [](const StepView&, StepDecision& decision) {
    decision.passed_over_max = 1;
    std::ranges::reverse(decision.queue);
  };
  const Script leave_out = [](const StepView& view, StepDecision& decision) {
    decision.passed_over_max = 1;
    std::erase_if(decision.queue, [&](std::size_t index) { return view.waiting[index].id == SequenceId{2}; });
  };
  const Script by_arrival = [](const StepView&, StepDecision& decision) { decision.passed_over_max = 1; };
  const Share nothing = [](const SequenceView& sequence, std::int32_t left) { return sequence.id == SequenceId{2} ? 0 : left; };
  for (const auto& [script, share] : {std::pair(reverse, Share{}), std::pair(leave_out, Share{}), std::pair(by_arrival, nothing)}) {
    SchedulerOptions options = small_options();
    options.overtaken_max = 2;
    start(options);
    ASSERT_TRUE(play->add(1, 16, 44));
    play->step();
    ASSERT_TRUE(play->add(2, 4, 4, 5, 12));  // its adapter does not fit next to the first
    for (std::uint64_t id = 3; id <= 6; ++id) ASSERT_TRUE(play->add(id, 4, 1));
    policy->script = by_arrival;
    play->step();
    EXPECT_EQ(play->spans(), (Spans{{1, 1}, {3, 4}, {4, 4}}));
    policy->script = script;
    policy->share = share;
    play->step();
    ASSERT_EQ(policy->waiting.front().overtaken_count, 2);
    for (int step = 0; step < 100 && play->latest.loads.empty(); ++step) {
      EXPECT_EQ(play->spans(), (Spans{{1, 1}})) << "step " << step;
      play->step();
    }
    ASSERT_EQ(play->latest.loads.size(), 1u) << "when the first has ended";
    EXPECT_EQ(play->latest.loads[0].adapter, AdapterId{5});
    play->scheduler.adapter_landed(AdapterId{5});
    play->run_dry();
  }
}

TEST_F(SchedulerPolicyTest, ChargesPromptTokensThatWereCachedAndAreNot) {
  start(small_options());
  const std::vector<TokenId> prefix = {1, 2, 3, 4, 5, 6, 7, 8};
  ASSERT_TRUE(play->add(Play::request(9, prefix, 1)));
  play->run_dry();
  ASSERT_TRUE(play->add(1, 4, 60));  // takes the whole pool in the end
  std::vector<TokenId> prompt = prefix;
  prompt.insert(prompt.end(), {9, 10, 11, 12});
  ASSERT_TRUE(play->add(Play::request(2, prompt, 40)));
  play->step();
  EXPECT_EQ(play->scheduler.cached_tokens(SequenceId{2}), 8);
  std::int32_t computed_end = 0;
  while (play->scheduler.stats().preemptions == 0) {
    for (const PlannedSpan& span : play->latest.spans)
      if (span.sequence == SequenceId{2}) computed_end = span.position_begin + span.token_count;
    play->step();
  }
  play->run_dry();
  play->schedule();
  ServiceCharge sum;
  for (const ServiceCharge& charge : policy->charged) {
    if (charge.id != SequenceId{2}) continue;
    sum.prompt_tokens += charge.prompt_tokens;
    sum.recomputed_tokens += charge.recomputed_tokens;
  }
  EXPECT_EQ(sum.prompt_tokens, 12) << "the first 8 came from the cache, and were evicted while it was preempted";
  EXPECT_EQ(sum.recomputed_tokens, computed_end - 8);
}

// One client floods the queue; the other's sequences come now and then.
TEST(LeastServedPolicy, ServesASparingClientBeforeAFloodingOne) {
  SchedulerOptions options = small_options();
  options.running_max = 2;
  Play play(options, std::make_unique<LeastServedPolicy>());
  const auto add = [&](std::uint64_t id, std::uint64_t client) {
    SequenceRequest request = Play::request(id, {1, 2, 3, 4}, 6);
    request.client = ClientId{client};
    ASSERT_TRUE(play.add(request));
  };
  for (std::uint64_t id = 1; id <= 30; ++id) add(id, 1);
  for (int step = 0; step < 20; ++step) play.step();
  play.take_ended();
  add(99, 2);
  int steps = 0;
  while (play.spans().back().first != 99 && steps < 100) {
    play.step();
    ++steps;
  }
  EXPECT_LE(steps, 7) << "as soon as one of two that run has ended";
  EXPECT_GT(play.scheduler.stats().waiting, 20u);
}

}  // namespace
}  // namespace slora
