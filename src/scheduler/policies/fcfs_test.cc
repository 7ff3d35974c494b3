#include "scheduler/policies/fcfs.h"

#include <gtest/gtest.h>

#include <numeric>

namespace slora {
namespace {

StepDecision decide(const std::vector<std::int32_t>& priorities) {
  std::vector<SequenceView> waiting(priorities.size());
  for (std::size_t i = 0; i < waiting.size(); ++i) {
    waiting[i].id = SequenceId{i};
    waiting[i].priority = priorities[i];
    waiting[i].arrival = Timestamp{5};
  }
  StepDecision decision;
  decision.queue.resize(waiting.size());
  std::iota(decision.queue.begin(), decision.queue.end(), std::size_t{0});
  StepView view;
  view.waiting = waiting;
  view.now = Timestamp{9};
  FcfsPolicy().decide(view, decision);
  return decision;
}

TEST(FcfsPolicy, ServesByArrivalWhateverThePriorities) {
  EXPECT_EQ(decide({1, 0, 1, -1, 0}).queue, (std::vector<std::size_t>{0, 1, 2, 3, 4}));
  EXPECT_FALSE(FcfsPolicy().follows_priority());
}

TEST(FcfsPolicy, GivesNobodyUpAndPassesNobodyOver) {
  const StepDecision decision = decide({0, 0});
  EXPECT_TRUE(decision.given_up.empty());
  EXPECT_EQ(decision.passed_over_max, 0);
}

TEST(FcfsPolicy, LetsAPromptAloneTakeWhatIsLeft) { EXPECT_EQ(FcfsPolicy().prompt_tokens({}, 17), 17); }

}  // namespace
}  // namespace slora
