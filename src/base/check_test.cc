#include "base/check.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <thread>

namespace slora {
namespace {

TEST(Check, PassesWhatHolds) { check(true, "truth"); }

TEST(CheckDeathTest, EndsTheProcessWithSentenceFileAndLine) {
  EXPECT_DEATH(check(1 + 1 == 3, "expected arithmetic to hold"), "check_test.cc:[0-9]+: bug: expected arithmetic to hold");
}

TEST(CheckDeathTest, NamesTheThreadThatFailed) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto fail = [] {
    std::thread thread([] {
      pthread_setname_np(pthread_self(), "shard 1");
      check(false, "arithmetic");
    });
    thread.join();
  };
  EXPECT_DEATH(fail(), "bug: arithmetic \\[thread shard 1\\]");
}

}  // namespace
}  // namespace slora
