#include "base/queue.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

namespace slora {
namespace {

using namespace std::chrono_literals;

TEST(BoundedQueue, RefusesWhenFullAndLeavesTheValueAlone) {
  BoundedQueue<std::unique_ptr<int>> queue(1);
  EXPECT_TRUE(queue.try_push(std::make_unique<int>(1)));
  auto second = std::make_unique<int>(2);
  EXPECT_FALSE(queue.try_push(std::move(second)));
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(*second, 2);
}

TEST(BoundedQueue, DrainsInOrderWithoutWaiting) {
  BoundedQueue<int> queue(8);
  std::vector<int> out = {0};
  queue.drain_into(out);
  EXPECT_EQ(out, (std::vector<int>{0}));
  for (int i = 1; i <= 3; ++i) EXPECT_TRUE(queue.try_push(int{i}));
  EXPECT_EQ(queue.size(), 3u);
  queue.drain_into(out);
  EXPECT_EQ(out, (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(queue.size(), 0u);
}

TEST(BoundedQueue, GivesWhatIsLeftAfterClosing) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.try_push(1));
  queue.close();
  EXPECT_FALSE(queue.try_push(2));
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.pop(), std::nullopt);
}

TEST(BoundedQueue, WakesWhoWaits) {
  BoundedQueue<int> queue(1), answers(1);
  std::jthread worker([&] {
    while (std::optional<int> value = queue.pop()) {
      while (!answers.try_push(*value + 1)) std::this_thread::yield();
    }
  });
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(queue.try_push(int{i}));
    EXPECT_EQ(answers.pop(), i + 1);
  }
  queue.close();
}

TEST(BoundedQueue, LosesNothingBetweenManyThreads) {
  BoundedQueue<int> queue(16);
  constexpr int kEach = 2000;
  long sum = 0;
  {
    std::vector<std::jthread> producers;
    for (int p = 0; p < 3; ++p) {
      producers.emplace_back([&] {
        for (int i = 1; i <= kEach; ++i) {
          while (!queue.try_push(int{i})) std::this_thread::yield();
        }
      });
    }
    for (int i = 0; i < 3 * kEach; ++i) sum += *queue.pop();
  }
  EXPECT_EQ(sum, 3L * kEach * (kEach + 1) / 2);
  EXPECT_EQ(queue.size(), 0u);
}

}  // namespace
}  // namespace slora
