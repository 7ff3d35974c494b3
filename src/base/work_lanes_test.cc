#include "base/work_lanes.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <new>

namespace slora {
namespace {

constexpr std::chrono::seconds kLong(60);

TEST(WorkLanes, RunOtherLanesWhileOneHangs) {
  std::latch released(1), others(20);
  std::atomic<int> hanging = 0, most = 0;
  WorkLanes lanes({.threads_per_lane = 2, .threads_max = 6, .waiting_max = 100});
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(lanes.try_run(7, [&] {
      most = std::max(most.load(), ++hanging);
      released.wait();
      --hanging;
    }));
  }
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(lanes.try_run(static_cast<std::uint64_t>(i % 5) * 3, [&] { others.count_down(); }));
  others.wait();
  EXPECT_FALSE(lanes.wait_until_idle(std::chrono::milliseconds(1)));
  released.count_down();
  EXPECT_TRUE(lanes.wait_until_idle(kLong));
  EXPECT_LE(most, 2) << "of one lane at once";
}

TEST(WorkLanes, CountNoThreadAsIdleForTwoJobs) {
  for (int i = 0; i < 50; ++i) {
    std::latch released(1), other(1);
    WorkLanes lanes({.threads_per_lane = 1, .threads_max = 4, .waiting_max = 100});
    ASSERT_TRUE(lanes.try_run(1, [] {}));
    ASSERT_TRUE(lanes.wait_until_idle(kLong));  // one thread is idle now
    ASSERT_TRUE(lanes.try_run(1, [&] { released.wait(); }));
    ASSERT_TRUE(lanes.try_run(2, [&] { other.count_down(); }));
    other.wait();
    released.count_down();
    EXPECT_TRUE(lanes.wait_until_idle(kLong));
  }
}

TEST(WorkLanes, GoOnAfterAJobThatThrows) {
  WorkLanes lanes({.threads_per_lane = 1, .threads_max = 1, .waiting_max = 100});
  std::latch done(1);
  ASSERT_TRUE(lanes.try_run(1, [] { throw std::bad_alloc(); }));
  ASSERT_TRUE(lanes.try_run(1, [&] { done.count_down(); }));
  done.wait();
}

TEST(WorkLanes, StartNoMoreThreadsThanTheirLimit) {
  std::latch released(1), begun(3);
  std::atomic<int> running = 0, done = 0;
  WorkLanes lanes({.threads_per_lane = 2, .threads_max = 3, .waiting_max = 100});
  for (std::uint64_t lane = 0; lane < 10; ++lane) {
    ASSERT_TRUE(lanes.try_run(lane, [&] {
      EXPECT_LE(++running, 3);
      if (!begun.try_wait()) begun.count_down();
      released.wait();
      --running;
      ++done;
    }));
  }
  begun.wait();
  released.count_down();
  EXPECT_TRUE(lanes.wait_until_idle(kLong));
  EXPECT_EQ(done, 10);
}

TEST(WorkLanes, RefuseJobsBeyondTheirLimitAndDropQueuedOnesInTheEnd) {
  std::latch begun(1), released(1);
  auto lanes = std::make_unique<WorkLanes>(WorkLaneLimits{.threads_per_lane = 1, .threads_max = 1, .waiting_max = 1});
  ASSERT_TRUE(lanes->try_run(1, [&] {
    begun.count_down();
    released.wait();
  }));
  begun.wait();
  const auto token = std::make_shared<int>();
  std::weak_ptr<int> dropped = token;
  ASSERT_TRUE(lanes->try_run(1, [token] { FAIL() << "expected the job to be dropped"; }));
  EXPECT_FALSE(lanes->try_run(1, [] {}));
  EXPECT_FALSE(lanes->try_run(2, [] {}));
  std::thread end([&] { lanes.reset(); });
  while (dropped.use_count() > 1) std::this_thread::yield();
  released.count_down();
  end.join();
}

}  // namespace
}  // namespace slora
