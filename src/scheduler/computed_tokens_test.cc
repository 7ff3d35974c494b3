#include "scheduler/computed_tokens.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

TEST(ComputedTokens, CountsWhatWasComputedBefore) {
  ComputedTokens computed;
  EXPECT_EQ(computed.add(8, 12), 0);
  EXPECT_EQ(computed.add(12, 13), 0) << "goes on";
  EXPECT_EQ(computed.add(0, 4), 0) << "never computed: it was cached";
  EXPECT_EQ(computed.add(4, 20), 5);
  EXPECT_EQ(computed.add(0, 20), 20);
}

TEST(ComputedTokens, KeepsGapsThatWereReadFromTheCache) {
  ComputedTokens computed;
  EXPECT_EQ(computed.add(0, 4), 0);
  EXPECT_EQ(computed.add(16, 18), 0);
  EXPECT_EQ(computed.add(2, 17), 3);
  EXPECT_EQ(computed.add(30, 30), 0);
  EXPECT_EQ(computed.add(0, 40), 18);
}

}  // namespace
}  // namespace slora
