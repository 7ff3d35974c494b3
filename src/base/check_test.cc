#include "base/check.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

TEST(Check, PassesWhatHolds) { check(true, "truth"); }

TEST(CheckDeathTest, EndsTheProcessWithSentenceFileAndLine) {
  EXPECT_DEATH(check(1 + 1 == 3, "arithmetic"), "check_test.cc:[0-9]+: bug: this should hold: arithmetic");
}

}  // namespace
}  // namespace slora
