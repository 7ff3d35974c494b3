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

}  // namespace
}  // namespace slora
