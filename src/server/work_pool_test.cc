#include "server/work_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace slora {
namespace {

TEST(WorkPool, RunsWhatItTookBeforeItGoes) {
  std::atomic<int> done = 0;
  {
    WorkPool pool(2, 100);
    for (int i = 0; i < 100; ++i) {
      while (!pool.try_run([&] { ++done; })) {
      }
    }
  }
  EXPECT_EQ(done, 100);
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
