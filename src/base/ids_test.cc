#include "base/ids.h"

#include <gtest/gtest.h>

#include <set>
#include <type_traits>
#include <unordered_set>

#include "base/site.h"

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

TEST(Site, OrdersByLayerAndNamesItsKind) {
  const std::set<Site> sites = {{1, SiteKind::qkv}, {0, SiteKind::down}, {0, SiteKind::o}};
  EXPECT_EQ(*sites.begin(), (Site{0, SiteKind::o}));
  EXPECT_EQ(name_of(SiteKind::gate_up), "gate_up");
  EXPECT_EQ(name_of(SiteKind::head), "head");
}

}  // namespace
}  // namespace slora
