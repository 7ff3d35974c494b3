#include "memory/reuse_chance.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

TEST(ReuseChance, BeginsWithFaithAndFollowsTheLatestItems) {
  ReuseChance chance;
  EXPECT_EQ(chance.value(), 1);
  EXPECT_EQ(chance.expected_uses(0), 1) << "it was brought in to be used";
  EXPECT_EQ(chance.expected_uses(3), 3);
  for (int i = 0; i < 3; ++i) chance.count_lost();
  EXPECT_EQ(chance.value(), 0.25);
  EXPECT_EQ(chance.expected_uses(1), 0.25);
  EXPECT_EQ(chance.expected_uses(3), 2.25);
  for (int i = 0; i < 4; ++i) chance.count_used_again();
  EXPECT_EQ(chance.value(), 5.0 / 8);
  for (int i = 0; i < 100'000; ++i) chance.count_lost();
  EXPECT_LT(chance.value(), 0.001);
  for (int i = 0; i < 20'000; ++i) chance.count_used_again();
  EXPECT_GT(chance.value(), 0.95) << "older items count less";
}

}  // namespace
}  // namespace slora
