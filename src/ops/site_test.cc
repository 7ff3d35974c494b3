#include "ops/site.h"

#include <gtest/gtest.h>

#include <set>

namespace slora {
namespace {

TEST(Site, OrdersByLayerAndNamesItsKind) {
  const std::set<Site> sites = {{1, SiteKind::qkv}, {0, SiteKind::down}, {0, SiteKind::o}};
  EXPECT_EQ(*sites.begin(), (Site{0, SiteKind::o}));
  EXPECT_EQ(name_of(SiteKind::gate_up), "gate_up");
  EXPECT_EQ(name_of(SiteKind::head), "head");
}

TEST(Site, HasAnIndexOfItsOwnInAnArrayOfAllSites) {
  for (const std::int32_t expert_count : {0, 3}) {
    std::set<std::size_t> indices;
    for (std::int32_t layer = 0; layer < 4; ++layer) {
      for (int kind = 0; kind < kSiteKindCount; ++kind) indices.insert(index_of({layer, static_cast<SiteKind>(kind)}, expert_count));
      for (std::int32_t expert = 1; expert <= expert_count; ++expert) {
        for (const SiteKind kind : {SiteKind::gate_up, SiteKind::down}) indices.insert(index_of({layer, kind, expert}, expert_count));
      }
    }
    EXPECT_EQ(indices.size(), site_count(4, expert_count));
    EXPECT_EQ(*indices.rbegin(), site_count(4, expert_count) - 1);
  }
}

}  // namespace
}  // namespace slora
