#include "http/adapter_waits.h"

#include <gtest/gtest.h>

#include <latch>
#include <vector>

namespace slora {
namespace {

// Folders that were looked at when the test says so.
struct AdapterWaitsTest : ::testing::Test {
  AdapterWaits::Await await() {
    return [this](const std::vector<std::string>&, std::function<void()> then) { looks.push_back(std::move(then)); };
  }

  std::vector<std::function<void()>> looks;
  TextPool pool{1};
};

TEST_F(AdapterWaitsTest, LeavesTheTextThreadsFreeWhileAFolderIsLookedAt) {
  AdapterWaits waits(await(), pool);
  std::latch others(1), done(2);
  for (int i = 0; i < 2; ++i) {
    waits.run_after_look({"slow"}, ClientId{1}, 10, [&](Status can_run) {
      EXPECT_TRUE(can_run);
      done.count_down();
    });
  }
  ASSERT_TRUE(pool.try_run(ClientId{2}, 10, [&] { others.count_down(); }));
  others.wait();
  EXPECT_FALSE(done.try_wait());
  for (const auto& look : looks) look();
  done.wait();
}

TEST_F(AdapterWaitsTest, RunsWorkWhoseFolderIsKnownAtOnce) {
  AdapterWaits waits([](const std::vector<std::string>&, const std::function<void()>& then) { then(); }, pool);
  std::latch done(1);
  waits.run_after_look({"fast"}, ClientId{1}, 10, [&](const Status&) { done.count_down(); });
  done.wait();
}

TEST_F(AdapterWaitsTest, RefusesWorkThatTheTextThreadsDoNotTake) {
  AdapterWaits waits(await(), pool);
  std::string code;
  waits.run_after_look({"slow"}, ClientId{1}, 10, [&](const Status& can_run) { code = can_run ? "" : can_run.error().code; });
  pool.stop();
  looks.front()();
  EXPECT_EQ(code, "queue_full");
}

TEST_F(AdapterWaitsTest, DropsInTheEndWhatStillWaits) {
  const auto token = std::make_shared<int>();
  {
    AdapterWaits waits(await(), pool);
    waits.run_after_look({"slow"}, ClientId{1}, 10, [token](const Status&) { FAIL() << "expected the work to be dropped"; });
    EXPECT_EQ(token.use_count(), 2);
  }
  EXPECT_EQ(token.use_count(), 1);
  looks.front()();  // the folder answers after all
}

}  // namespace
}  // namespace slora
