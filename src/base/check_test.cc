#include "base/check.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

TEST(Check, PassesWhatHolds) { check(true, "truth"); }

TEST(CheckDeathTest, EndsTheProcessWithSentenceFileAndLine) {
  EXPECT_DEATH(check(1 + 1 == 3, "expected arithmetic to hold"), "check_test.cc:[0-9]+: bug: expected arithmetic to hold");
}

}  // namespace
}  // namespace slora
