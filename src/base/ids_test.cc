#include "base/ids.h"

#include <gtest/gtest.h>

#include <type_traits>
#include <unordered_set>

namespace slora {
namespace {

TEST(Ids, AreDistinctTypesThatCompareAndHash) {
  static_assert(!std::is_convertible_v<SequenceId, AdapterId>);
  static_assert(!std::is_convertible_v<std::uint32_t, PageIndex>);
  EXPECT_LT(PageIndex{1}, PageIndex{2});
  EXPECT_EQ(AdapterId{}, kNoAdapter);
  const std::unordered_set<SequenceId> ids = {SequenceId{1}, SequenceId{2}, SequenceId{1}};
  EXPECT_EQ(ids.size(), 2u);
}

}  // namespace
}  // namespace slora
