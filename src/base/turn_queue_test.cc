#include "base/turn_queue.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace slora {
namespace {

using Queue = TurnQueue<int, std::string>;

TEST(TurnQueue, TakesOneOfEachClientBeforeASecondOfAny) {
  Queue queue(8, 8);
  for (const char* value : {"a1", "a2", "a3"}) EXPECT_TRUE(queue.try_push(1, value));
  EXPECT_TRUE(queue.try_push(2, "b1"));
  EXPECT_EQ(queue.pop(), "a1");
  EXPECT_TRUE(queue.try_push(3, "c1"));
  std::string order;
  while (order.size() < 8) order += queue.pop().value();
  EXPECT_EQ(order, "b1a2c1a3");
}

TEST(TurnQueue, RefusesMoreThanItsCapacityOrTheShareOfAClient) {
  Queue queue(3, 2);
  EXPECT_TRUE(queue.try_push(1, "a1"));
  EXPECT_TRUE(queue.try_push(1, "a2"));
  EXPECT_FALSE(queue.try_push(1, "a3")) << "the client has its share";
  EXPECT_TRUE(queue.try_push(2, "b1"));
  EXPECT_FALSE(queue.try_push(3, "c1")) << "the queue is full";
  EXPECT_EQ(queue.pop(), "a1");
  EXPECT_TRUE(queue.try_push(3, "c1"));
}

TEST(TurnQueue, EndsItsWaitersWhenItIsClosed) {
  Queue queue(3, 3);
  std::thread waiter([&] { EXPECT_EQ(queue.pop(), std::nullopt); });
  queue.close();
  waiter.join();
  EXPECT_FALSE(queue.try_push(1, "a1"));
}

}  // namespace
}  // namespace slora
