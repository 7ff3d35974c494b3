#include "base/work_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <new>
#include <thread>

namespace slora {
namespace {

TEST(WorkPool, RunsEverythingItTook) {
  std::atomic<int> done = 0;
  std::promise<void> all_done;
  WorkPool pool(2, 100);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(pool.try_run([&] {
      if (++done == 100) all_done.set_value();
    }));
  }
  all_done.get_future().wait();
}

TEST(WorkPool, DropsWhatWaitsOnTheOwnersThread) {
  std::promise<void> started;
  std::promise<std::thread::id> dropped;
  const std::thread::id owner = std::this_thread::get_id();
  bool ran_late = false;
  {
    WorkPool pool(1, 2);
    ASSERT_TRUE(pool.try_run([&] {
      started.set_value();
      EXPECT_EQ(dropped.get_future().get(), owner) << "this one runs until the one that waits is gone";
    }));
    started.get_future().wait();
    const auto tell = [&dropped](const bool*) { dropped.set_value(std::this_thread::get_id()); };
    ASSERT_TRUE(pool.try_run([owned = std::shared_ptr<bool>(&ran_late, tell)] { *owned = true; }));
  }
  EXPECT_FALSE(ran_late);
}

TEST(WorkPool, AJobThatThrowsEndsNeitherItsThreadNorTheProcess) {
  std::promise<void> done;
  WorkPool pool(1, 2);
  ASSERT_TRUE(pool.try_run([] { throw std::bad_alloc(); }));
  ASSERT_TRUE(pool.try_run([&] { done.set_value(); }));
  done.get_future().wait();
}

TEST(WorkPool, RefusesWhenTooMuchWaits) {
  std::promise<void> started;
  std::promise<void> release;
  std::shared_future<void> released(release.get_future());
  WorkPool pool(1, 2);
  ASSERT_TRUE(pool.try_run([&] {
    started.set_value();
    released.wait();
  }));
  started.get_future().wait();
  EXPECT_TRUE(pool.try_run([] {}));
  EXPECT_TRUE(pool.try_run([] {}));
  EXPECT_FALSE(pool.try_run([] {}));
  release.set_value();
}

}  // namespace
}  // namespace slora
