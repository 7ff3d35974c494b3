#include "http/text_pool.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <thread>

namespace slora {
namespace {

constexpr std::size_t kLong = TextPool::kShortBytesMax + 1;

// Jobs that run until they are released.
class Hold {
 public:
  std::function<void()> job() {
    return [this] {
      started_.set_value();
      released_.wait();
    };
  }
  void wait_for_start() { started_.get_future().wait(); }
  void release() { release_.set_value(); }

 private:
  std::promise<void> started_, release_;
  std::shared_future<void> released_{release_.get_future()};
};

TEST(TextPool, RunsShortBodiesWhileLongOnesWait) {
  TextPool pool(1);
  Hold hold;
  ASSERT_TRUE(pool.try_run(ClientId{1}, kLong, hold.job()));
  hold.wait_for_start();
  std::promise<void> done;
  for (int i = 0; i < 32; ++i) ASSERT_TRUE(pool.try_run(ClientId{1}, kLong, [] {}));
  ASSERT_TRUE(pool.try_run(ClientId{1}, TextPool::kShortBytesMax, [&] { done.set_value(); }));
  done.get_future().wait();  // the long ones have not run: their thread is held
  hold.release();
}

TEST(TextPool, LetsClientsTakeTurnsWithLongBodies) {
  TextPool pool(1);
  Hold hold;
  std::string order;  // of one thread
  std::promise<void> last;
  ASSERT_TRUE(pool.try_run(ClientId{1}, kLong, hold.job()));
  hold.wait_for_start();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(pool.try_run(ClientId{1}, kLong, [&] { order += "a"; }));
  ASSERT_TRUE(pool.try_run(ClientId{2}, kLong, [&] { order += "b"; }));
  ASSERT_TRUE(pool.try_run(ClientId{1}, kLong, [&] { last.set_value(); }));
  hold.release();
  last.get_future().wait();
  EXPECT_EQ(order, "abaa");
}

TEST(TextPool, LetsNoClientFillTheQueueAlone) {
  TextPool pool(1);
  Hold hold;
  ASSERT_TRUE(pool.try_run(ClientId{1}, 1, hold.job()));
  hold.wait_for_start();
  std::size_t taken = 0;
  while (pool.try_run(ClientId{1}, 1, [] {})) ++taken;
  EXPECT_EQ(taken, 512U);
  EXPECT_TRUE(pool.try_run(ClientId{2}, 1, [] {}));
  hold.release();
}

TEST(TextPool, DropsWhatWaitsOnTheThreadThatStopsIt) {
  std::promise<std::thread::id> dropped;
  bool ran = false;
  const auto notify = [&](const bool*) { dropped.set_value(std::this_thread::get_id()); };
  Hold hold;
  TextPool pool(1);
  ASSERT_TRUE(pool.try_run(ClientId{1}, 1, hold.job()));
  hold.wait_for_start();
  ASSERT_TRUE(pool.try_run(ClientId{1}, 1, [owned = std::shared_ptr<bool>(&ran, notify)] { *owned = true; }));
  std::thread releaser([&] {
    EXPECT_NE(dropped.get_future().get(), std::this_thread::get_id());
    hold.release();
  });
  pool.stop();
  releaser.join();
  EXPECT_FALSE(ran);
  EXPECT_FALSE(pool.try_run(ClientId{1}, 1, [] {}));
}

}  // namespace
}  // namespace slora
