#include "memory/eviction_order.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <tuple>

namespace slora {
namespace {

TEST(EvictionOrder, LosesTheCheapestFirstAndLastResortsLast) {
  EvictionOrder order(10, EvictionPolicy::cost_aware);
  order.insert(PageIndex{1}, 5, EvictionTier::ordinary);
  order.insert(PageIndex{2}, 1, EvictionTier::last_resort);
  order.insert(PageIndex{3}, 3, EvictionTier::ordinary);
  EXPECT_EQ(order.cheapest(), PageIndex{3});
  EXPECT_TRUE(order.cheapest_is_below(4));
  EXPECT_FALSE(order.cheapest_is_below(3));
  order.erase(PageIndex{3});
  order.erase(PageIndex{1});
  EXPECT_EQ(order.cheapest(), PageIndex{2});
  EXPECT_FALSE(order.cheapest_is_below(100));
}

TEST(EvictionOrder, ValuesWhatIsUsedOftenAndDearAsThePolicySays) {
  EvictionOrder counts(1, EvictionPolicy::cost_aware), ignores(1, EvictionPolicy::greedy_dual_size), recent(1, EvictionPolicy::lru);
  EXPECT_EQ(counts.value(3, 8, 4), 6);
  EXPECT_EQ(ignores.value(3, 8, 4), 2);
  const double earlier = recent.value_at_use(3, 8, 4), later = recent.value_at_use(1, 1, 4);
  EXPECT_LT(earlier, later);
}

TEST(EvictionOrder, CountsNoUseWhenAValueIsRead) {
  for (const EvictionPolicy policy : {EvictionPolicy::lru, EvictionPolicy::cost_aware}) {
    EvictionOrder order(1, policy);
    const double next = order.value(1, 4, 4);
    EXPECT_EQ(order.value(1, 4, 4), next) << "read twice";
    EXPECT_EQ(order.value_at_use(1, 4, 4), next) << "what an item that is used now gets";
  }
}

TEST(EvictionOrder, OvertakesWhatIsNotUsedAnyMore) {
  EvictionOrder order(10, EvictionPolicy::cost_aware);
  order.insert(PageIndex{0}, order.value(10, 1, 1), EvictionTier::ordinary);  // once popular
  for (std::uint32_t round = 0; round < 20; ++round) {
    order.insert(PageIndex{1}, order.value(1, 1, 1), EvictionTier::ordinary);
    if (order.cheapest() == PageIndex{0}) return;
    order.raise_floor();
    order.erase(PageIndex{1});
  }
  FAIL() << "what was popular stays for ever";
}

TEST(EvictionOrder, AgreesWithASortedSet) {
  constexpr std::uint32_t kItems = 64;
  EvictionOrder order(kItems, EvictionPolicy::cost_aware);
  std::set<std::tuple<EvictionTier, double, PageIndex>> model;
  std::map<PageIndex, std::tuple<EvictionTier, double, PageIndex>> entries;
  std::mt19937_64 random(5);
  for (int operation = 0; operation < 200'000; ++operation) {
    const PageIndex item{static_cast<std::uint32_t>(random() % kItems)};
    ASSERT_EQ(order.contains(item), entries.contains(item));
    if (order.contains(item)) {
      order.erase(item);
      model.erase(entries.at(item));
      entries.erase(item);
    } else {
      const EvictionTier tier = random() % 4 == 0 ? EvictionTier::last_resort : EvictionTier::ordinary;
      const double value = static_cast<double>(random() % 16);
      order.insert(item, value, tier);
      model.insert({tier, value, item});
      entries[item] = {tier, value, item};
    }
    ASSERT_EQ(order.empty(), model.empty());
    if (!model.empty()) {
      ASSERT_EQ(order.cheapest(), std::get<2>(*model.begin()));
    }
  }
}

}  // namespace
}  // namespace slora
