#include "scheduler/policies/fcfs.h"

#include <gtest/gtest.h>

#include <numeric>

namespace slora {
namespace {

std::vector<WaitingSequence> waiting_with(const std::vector<std::int32_t>& priorities) {
  std::vector<WaitingSequence> waiting;
  for (const std::int32_t priority : priorities) {
    waiting.push_back({.id = SequenceId{waiting.size()},
                       .tenant = {},
                       .adapter = kNoAdapter,
                       .priority = priority,
                       .arrival = Timestamp{5},
                       .tokens_to_compute = 1});
  }
  return waiting;
}

TEST(FcfsPolicy, ServesByPriorityThenArrival) {
  const std::vector<WaitingSequence> waiting = waiting_with({1, 0, 1, -1, 0});
  std::vector<std::size_t> order(waiting.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  FcfsPolicy policy;
  policy.order(waiting, Timestamp{9}, order);
  EXPECT_EQ(order, (std::vector<std::size_t>{3, 1, 4, 0, 2}));
}

TEST(FcfsPolicy, GivesNobodyUp) {
  std::vector<SequenceId> given_up;
  FcfsPolicy().give_up(waiting_with({0, 0}), Timestamp{9}, given_up);
  EXPECT_TRUE(given_up.empty());
}

}  // namespace
}  // namespace slora
