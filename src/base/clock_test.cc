#include "base/clock.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

TEST(SteadyClock, NeverRunsBackwards) {
  const SteadyClock clock;
  Timestamp before = clock.now();
  for (int i = 0; i < 1000; ++i) {
    const Timestamp now = clock.now();
    ASSERT_GE(now, before);
    before = now;
  }
}

TEST(Seconds, AreFractions) { EXPECT_DOUBLE_EQ(seconds(std::chrono::milliseconds(1500)), 1.5); }

}  // namespace
}  // namespace slora
