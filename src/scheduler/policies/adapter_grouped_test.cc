#include "scheduler/policies/adapter_grouped.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <set>

#include "scheduler/testing/scheduler_play.h"

namespace slora {
namespace {

using testing::ElementsAre;
using std::chrono::seconds;

// Views and decisions as a scheduler would make them; who waits arrived at time 0 unless a test says otherwise.
struct GroupCase {
  AdapterGroupedPolicy policy;
  std::vector<SequenceView> waiting, running, preempted;
  Timestamp now = seconds(1);

  explicit GroupCase(const AdapterGroupLimits& limits) : policy(limits) {}
  static SequenceView view_of(std::uint64_t adapter, std::uint32_t pages, Timestamp arrival) {
    SequenceView view;
    view.adapter = AdapterId{adapter};
    view.adapter_page_count = pages;
    view.arrival = arrival;
    return view;
  }
  void wait(std::uint64_t adapter, std::uint32_t pages = 1, Timestamp arrival = {}) { waiting.push_back(view_of(adapter, pages, arrival)); }
  void run(std::uint64_t adapter, std::uint32_t pages = 1) { running.push_back(view_of(adapter, pages, {})); }
  StepDecision decide() {
    StepDecision decision;
    decision.queue.resize(waiting.size());
    std::iota(decision.queue.begin(), decision.queue.end(), std::size_t{0});
    StepView view;
    view.waiting = waiting;
    view.running = running;
    view.preempted = preempted;
    view.now = now;
    policy.decide(view, decision);
    return decision;
  }
};

AdapterGroupLimits at_most(std::size_t adapters) {
  AdapterGroupLimits limits;
  limits.adapters_max = adapters;
  return limits;
}

TEST(AdapterGroupedPolicy, TriesTheGroupFirstAndThenTheRestByArrival) {
  GroupCase play(at_most(2));
  play.run(7);
  for (const std::uint64_t adapter : {8u, 9u, 7u, 9u, 8u, 7u}) play.wait(adapter);
  EXPECT_THAT(play.decide().queue, ElementsAre(0, 2, 4, 5, 1, 3)) << "7 runs and 8 came first";
}

TEST(AdapterGroupedPolicy, CountsTheBaseModelAsNoAdapter) {
  GroupCase play(at_most(1));
  play.run(0);
  for (const std::uint64_t adapter : {8u, 9u, 0u, 8u}) play.wait(adapter);
  EXPECT_THAT(play.decide().queue, ElementsAre(0, 2, 3, 1));
}

TEST(AdapterGroupedPolicy, IsByArrivalWithoutALimit) {
  GroupCase play(at_most(kAnyAdapterCount));
  play.run(7);
  for (const std::uint64_t adapter : {8u, 9u, 7u, 6u}) play.wait(adapter);
  EXPECT_THAT(play.decide().queue, ElementsAre(0, 1, 2, 3));
}

TEST(AdapterGroupedPolicy, PrefersAdaptersThatRunBeyondTheGroupToThoseThatDoNot) {
  GroupCase play(at_most(1));
  play.run(7);
  play.run(9);
  for (const std::uint64_t adapter : {8u, 9u, 7u}) play.wait(adapter);
  EXPECT_THAT(play.decide().queue, ElementsAre(2, 1, 0));
}

TEST(AdapterGroupedPolicy, KeepsItsGroupAsLongAsItRuns) {
  GroupCase play(at_most(1));
  play.run(7);
  play.run(9);
  play.wait(9);
  play.wait(7);
  ASSERT_THAT(play.decide().queue, ElementsAre(1, 0));
  play.running.erase(play.running.begin());
  play.run(7);  // the oldest of 9 is older now
  EXPECT_THAT(play.decide().queue, ElementsAre(1, 0)) << "9 could not end otherwise";
  play.running.pop_back();
  EXPECT_THAT(play.decide().queue, ElementsAre(0, 1)) << "7 does not run any more";
}

TEST(AdapterGroupedPolicy, CountsPreemptedSequencesAsRunning) {
  GroupCase play(at_most(1));
  play.preempted.push_back(GroupCase::view_of(9, 1, {}));
  play.wait(8);
  play.wait(9);
  EXPECT_THAT(play.decide().queue, ElementsAre(1, 0));
}

TEST(AdapterGroupedPolicy, BoundsThePagesOfTheGroupButNotOfOneAdapter) {
  AdapterGroupLimits limits = at_most(8);
  limits.pages_max = 10;
  GroupCase play(limits);
  for (const std::uint64_t adapter : {1u, 2u, 3u, 1u}) play.wait(adapter, adapter == 3 ? 4 : 6);
  EXPECT_THAT(play.decide().queue, ElementsAre(0, 2, 3, 1)) << "2 is too much in addition to 1, and 3 is not";
  play.waiting.clear();
  play.run(5, 100);
  play.wait(6, 1);
  play.wait(5, 100);
  EXPECT_THAT(play.decide().queue, ElementsAre(1, 0));
}

TEST(AdapterGroupedPolicy, TriesWhoWaitedTooLongFirstWhateverTheAdapter) {
  GroupCase play(at_most(1));
  play.now = seconds(10);
  play.run(7);
  play.wait(8, 1, seconds(7));
  play.wait(9, 1, seconds(7));
  play.wait(6, 1, seconds(8));  // not longer than the 2 s
  play.wait(7, 1, seconds(9));
  EXPECT_THAT(play.decide().queue, ElementsAre(0, 1, 3, 2));
}

// A small scheduler: 32 sequences of eight adapters, more than enough for four places.
TEST(AdapterGroupedPolicy, HoldsTheBatchToItsLimitAsLongAsEnoughWaits) {
  SchedulerOptions options = small_options();
  options.page_count = 200;
  options.running_max = 4;
  Play play(options, std::make_unique<AdapterGroupedPolicy>(at_most(2)));
  for (std::uint64_t id = 1; id <= 32; ++id) ASSERT_TRUE(play.add(id, 4, 5, 1 + id % 8, 1));
  std::map<std::size_t, int> steps_by_count;
  for (int i = 0; i < 1000 && play.live_count() > 0; ++i) {
    play.step();
    for (const AdapterLoad& load : play.latest.loads) play.scheduler.adapter_landed(load.adapter);
    std::set<AdapterId> adapters;
    for (const PlannedSpan& span : play.latest.spans) adapters.insert(span.adapter);
    ++steps_by_count[adapters.size()];
  }
  EXPECT_EQ(play.live_count(), 0u);
  EXPECT_EQ(steps_by_count, (std::map<std::size_t, int>{{0, 1}, {2, 40}})) << "one step of loads, then eight batches of five steps";
}

}  // namespace
}  // namespace slora
