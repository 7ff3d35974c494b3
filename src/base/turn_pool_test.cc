#include "base/turn_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <latch>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

namespace slora {
namespace {

constexpr ClientId kFlooding{1}, kOther{2};

// A pool whose two threads are held until let_go().
class TurnPoolTest : public ::testing::Test {
 protected:
  TurnPoolTest() {
    for (int i = 0; i < 2; ++i) {
      EXPECT_TRUE(pool->try_run(kOther, [this] {
        held_.count_down();
        free_.wait();
      }));
    }
    held_.wait();
  }
  ~TurnPoolTest() override {
    if (!free_.try_wait()) let_go();
  }
  void let_go() { free_.count_down(); }

 private:
  std::latch held_{2}, free_{1};

 protected:
  std::optional<TurnPool> pool{
      std::in_place,
      TurnPool::Limits{.thread_count = 2, .waiting_max = 256, .waiting_of_client_max = 64}};  // after the latches, which its threads use
};

TEST_F(TurnPoolTest, LetsNoClientFillTheQueueAlone) {
  std::size_t taken = 0;
  while (taken < 1000 && pool->try_run(kFlooding, [] {})) ++taken;
  EXPECT_EQ(taken, 64u);
  EXPECT_TRUE(pool->try_run(kOther, [] {}));
}

TEST_F(TurnPoolTest, LeavesAJobThatItRefusesAsItWas) {
  std::uint64_t client = 10;
  std::size_t taken = 0;
  for (; taken < 1000; ++taken) {
    if (!pool->try_run(ClientId{client + taken / 64}, [] {})) break;
  }
  EXPECT_EQ(taken, 256u);
  bool ran = false;
  std::function<void()> job = [&ran] { ran = true; };
  EXPECT_FALSE(pool->try_run(ClientId{99}, std::move(job)));
  ASSERT_TRUE(job);
  job();
  EXPECT_TRUE(ran);
}

TEST_F(TurnPoolTest, LetsClientsTakeTurns) {
  std::string order;
  std::latch done(1);
  const auto note = [&order](char who) { return [&order, who] { order += who; }; };
  std::latch held(1), is_free(1);
  TurnPool one({.thread_count = 1, .waiting_max = 8, .waiting_of_client_max = 8});
  ASSERT_TRUE(one.try_run(kFlooding, [&] {
    held.count_down();
    is_free.wait();
  }));
  held.wait();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(one.try_run(kFlooding, note('a')));
  ASSERT_TRUE(one.try_run(kOther, note('b')));
  ASSERT_TRUE(one.try_run(kFlooding, [&done] { done.count_down(); }));
  is_free.count_down();
  done.wait();
  EXPECT_EQ(order, "abaa");
}

TEST(TurnPool, BeginsEachThreadWithWhatItWasGiven) {
  std::atomic<int> started = 0;
  std::latch together(3);
  {
    TurnPool pool({.thread_count = 3, .waiting_max = 8, .waiting_of_client_max = 8}, [&started] { ++started; });
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(pool.try_run(kOther, [&together] { together.arrive_and_wait(); }));
    together.wait();
  }
  EXPECT_EQ(started, 3);
}

TEST_F(TurnPoolTest, GoesOnAfterAJobThatThrows) {
  std::latch done(2);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(pool->try_run(kFlooding, [] { throw std::bad_alloc(); }));
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(pool->try_run(kFlooding, [&done] { done.arrive_and_wait(); }));  // on two threads
  let_go();
  done.wait();
  pool.reset();  // before the latch, which its threads may still wait for
}

TEST_F(TurnPoolTest, DropsWhatWaitsWithoutRunningIt) {
  bool ran = false;
  std::optional<std::thread::id> dropped_by;
  const auto note = [&](const bool*) {
    dropped_by = std::this_thread::get_id();
    let_go();  // the pool drops what waits before it awaits what runs
  };
  ASSERT_TRUE(pool->try_run(kFlooding, [owned = std::shared_ptr<bool>(&ran, note)] { *owned = true; }));
  pool.reset();
  EXPECT_FALSE(ran);
  EXPECT_EQ(dropped_by, std::this_thread::get_id());
}

}  // namespace
}  // namespace slora
