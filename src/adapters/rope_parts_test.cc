#include "adapters/rope_parts.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

TEST(RopeParts, AreSharedByAdaptersOfOneFactor) {
  RopeParts parts;
  const auto two = parts.take(2), four = parts.take(4);
  EXPECT_EQ(parts.take(2), two);
  EXPECT_NE(two->index, four->index);
  EXPECT_NE(two->number, four->number);
  EXPECT_EQ(two->factor, 2);
}

TEST(RopeParts, AreAsManyAsTheTableHasAndComeBackWhenNobodyHoldsThem) {
  RopeParts parts;
  std::vector<std::shared_ptr<const RopePart>> held;
  for (int i = 0; i < kRopePartsMax; ++i) held.push_back(parts.take(2 + i));
  EXPECT_EQ(parts.take(100), nullptr);
  EXPECT_EQ(parts.shown_factors(), "2, 3, 4, 5");
  const RopePart before = *held[1];
  held[1].reset();
  const auto after = parts.take(100);
  ASSERT_NE(after, nullptr);
  EXPECT_EQ(after->index, before.index);
  EXPECT_NE(after->number, before.number) << "what is in the table is the old factor's";
}

}  // namespace
}  // namespace slora
