#include "memory/prefix_index.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>
#include <vector>

namespace slora {
namespace {

constexpr std::int32_t kPageTokens = 4;
constexpr PrefixDomain kDomain{TenantId{1}, AdapterId{3}};

// A pool with nothing but cached prefixes and one writer's pages.
struct World {
  explicit World(std::uint32_t page_count, PrefixHash hash = PrefixHash::tokens)
      : pool(page_count), order(page_count, EvictionPolicy::cost_aware), index(pool, order, kPageTokens, 8, hash) {}

  // Writes whole pages of `tokens` after what is cached of them, as a sequence would.
  PrefixPin write(const PrefixDomain& domain, std::span<const TokenId> tokens) {
    PrefixPin pin = match(domain, tokens, ~0u);
    while ((pin.size() + 1) * kPageTokens <= tokens.size()) {
      PageList own = pool.empty_list({PageUse::sequence, domain.tenant, 1});
      pool.take(own, 1);
      static_cast<void>(index.try_extend(pin, tokens.subspan(pin.size() * kPageTokens, kPageTokens), own));
    }
    return pin;
  }
  PrefixPin match(const PrefixDomain& domain, std::span<const TokenId> tokens, std::uint32_t page_count_max) {
    PrefixPin pin = index.begin(domain);
    index.match(pin, tokens, page_count_max);
    return pin;
  }
  void evict_cheapest() {
    order.raise_floor();
    index.evict(order.cheapest());
  }

  PagePool pool;
  EvictionOrder order;
  PrefixIndex index;
};

class PrefixIndexWithEachHash : public testing::TestWithParam<PrefixHash> {};
INSTANTIATE_TEST_SUITE_P(Hashes, PrefixIndexWithEachHash, testing::Values(PrefixHash::tokens, PrefixHash::all_equal));

TEST_P(PrefixIndexWithEachHash, FindsOnlyExactTokensOfTheSameDomain) {
  World world(16, GetParam());
  const std::vector<TokenId> tokens = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  static_cast<void>(world.write(kDomain, tokens));
  EXPECT_EQ(world.index.evictable_count(), 2u);
  EXPECT_EQ(world.match(kDomain, tokens, 9).size(), 2u);
  EXPECT_EQ(world.match(kDomain, tokens, 1).size(), 1u);
  EXPECT_EQ(world.match({TenantId{2}, AdapterId{3}}, tokens, 9).size(), 0u);
  EXPECT_EQ(world.match({TenantId{1}, AdapterId{4}}, tokens, 9).size(), 0u);
  EXPECT_EQ(world.match(kDomain, std::vector<TokenId>{1, 2, 3, 4, 5, 6, 7, 9}, 9).size(), 1u);
  EXPECT_EQ(world.match(kDomain, std::vector<TokenId>{5, 6, 7, 8}, 9).size(), 0u);  // not at position 0
}

TEST(PrefixIndex, EvictsLeavesFirstAndNothingPinned) {
  World world(16);
  const std::vector<TokenId> tokens = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  static_cast<void>(world.write(kDomain, tokens));
  {
    const PrefixPin pin = world.match(kDomain, tokens, 2);
    EXPECT_EQ(world.index.evictable_count(), 1u);
    world.evict_cheapest();
    EXPECT_TRUE(world.order.empty());
    EXPECT_EQ(world.index.evictable_count(), 0u);
  }
  EXPECT_EQ(world.index.evictable_count(), 2u);
  world.evict_cheapest();
  EXPECT_EQ(world.match(kDomain, tokens, 9).size(), 1u);
  world.evict_cheapest();
  EXPECT_EQ(world.pool.free_count(), 16u);
}

TEST(PrefixIndex, GivesTheSecondWriterTheFirstOnesPage) {
  World world(16);
  const std::vector<TokenId> tokens = {1, 2, 3, 4};
  PrefixPin first = world.index.begin(kDomain), second = world.index.begin(kDomain);
  PageList first_own = world.pool.empty_list({PageUse::sequence, TenantId{1}, 1});
  PageList second_own = world.pool.empty_list({PageUse::sequence, TenantId{1}, 2});
  world.pool.take(first_own, 1);
  world.pool.take(second_own, 1);
  const PageIndex page = first_own.pages()[0];
  EXPECT_TRUE(world.index.try_extend(first, tokens, first_own));
  EXPECT_FALSE(world.index.try_extend(second, tokens, second_own));
  EXPECT_EQ(second.pages()[0], page);
  EXPECT_EQ(second_own.size(), 1u);
  second_own.drop_first();
  EXPECT_EQ(world.pool.free_count(), 15u);
}

TEST(PrefixIndex, ForgetsAnAdapterSaveWhatIsPinned) {
  World world(32);
  const std::vector<TokenId> tokens = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  static_cast<void>(world.write(kDomain, tokens));
  static_cast<void>(world.write({TenantId{2}, AdapterId{3}}, tokens));
  static_cast<void>(world.write({TenantId{1}, AdapterId{4}}, tokens));
  PrefixPin pin = world.match(kDomain, tokens, 2);
  world.index.forget(AdapterId{3});
  EXPECT_EQ(world.pool.count(PageUse::prefix), 5u);
  EXPECT_EQ(world.match({TenantId{2}, AdapterId{3}}, tokens, 9).size(), 0u);
  pin = PrefixPin();
  world.index.forget(AdapterId{3});
  EXPECT_EQ(world.pool.count(PageUse::prefix), 3u);
  world.index.forget(AdapterId{99});
}

// An adapter that acts from position 6 on reads the base's first page and has its own from the second on.
TEST(PrefixIndex, SharesWithTheBaseWhatComesBeforeTheAdapter) {
  World world(16);
  const std::vector<TokenId> tokens = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  constexpr PrefixDomain base{TenantId{1}}, late{TenantId{1}, AdapterId{3}, 6}, later{TenantId{1}, AdapterId{3}, 7};
  PrefixPin first = world.write(base, tokens);
  EXPECT_EQ(world.match(late, tokens, 9).size(), 1u);
  PrefixPin pin = world.write(late, tokens);
  EXPECT_EQ(pin.pages()[0], first.pages()[0]);
  EXPECT_EQ(world.pool.count(PageUse::prefix), 5u);
  EXPECT_EQ(world.match(later, tokens, 9).size(), 1u) << "the page of position 6 is another's";
  EXPECT_EQ(world.match({TenantId{1}, AdapterId{3}, 4}, tokens, 9).size(), 1u);
  EXPECT_EQ(world.match({TenantId{1}, AdapterId{3}, 3}, tokens, 9).size(), 0u);
  EXPECT_EQ(world.match({TenantId{1}, AdapterId{4}, 6}, tokens, 9).size(), 1u);
  EXPECT_EQ(world.match({TenantId{2}, AdapterId{3}, 6}, tokens, 9).size(), 0u);
  EXPECT_EQ(world.match({TenantId{1}, AdapterId{9}, 12}, tokens, 9).size(), 3u) << "it acts after all of them";
  std::vector<std::uint32_t> pins(16);
  for (const PrefixPin* held : {&first, &pin})
    for (const PageIndex page : held->pages()) ++pins[page.value];
  EXPECT_EQ(world.index.check_invariants(pins), "");
  pin = PrefixPin();
  world.index.forget(AdapterId{3});
  EXPECT_EQ(world.pool.count(PageUse::prefix), 3u) << "the base's stay";
}

TEST(PrefixIndex, DropsWhatIsDistrustedUnlessOthersUseIt) {
  World world(16);
  const std::vector<TokenId> tokens = {1, 2, 3, 4, 5, 6, 7, 8};
  PrefixPin failed = world.write(kDomain, tokens);
  PrefixPin other = world.match(kDomain, tokens, 1);
  failed.distrust();
  failed = PrefixPin();
  EXPECT_EQ(world.pool.count(PageUse::prefix), 1u);
  EXPECT_EQ(world.index.evictable_count(), 0u);
  other = PrefixPin();
  EXPECT_EQ(world.index.evictable_count(), 1u);
}

// Against a map from (domain, all tokens up to a page's end) to the page.
TEST_P(PrefixIndexWithEachHash, AgreesWithAMapOfWholePrefixes) {
  constexpr std::uint32_t kPages = 24;
  World world(kPages, GetParam());
  using Key = std::pair<PrefixDomain, std::vector<TokenId>>;
  std::map<Key, PageIndex> model;
  std::deque<PrefixPin> pins;
  std::mt19937_64 random(11);
  std::vector<std::uint32_t> pin_counts(kPages);
  const auto domain_of = [](const PrefixDomain& domain, std::uint32_t page) {
    const bool is_base = static_cast<std::int32_t>((page + 1) * kPageTokens) <= domain.adapter_begin;
    return is_base ? PrefixDomain{.tenant = domain.tenant} : domain;
  };
  const auto expect_match = [&](const PrefixDomain& domain, const std::vector<TokenId>& tokens) {
    const PrefixPin found = world.match(domain, tokens, ~0u);
    for (std::uint32_t page = 0; (page + 1) * kPageTokens <= tokens.size(); ++page) {
      const auto expected = model.find({domain_of(domain, page), {tokens.begin(), tokens.begin() + (page + 1) * kPageTokens}});
      ASSERT_EQ(page < found.size(), expected != model.end());
      if (page >= found.size()) break;
      ASSERT_EQ(found.pages()[page], expected->second);
    }
  };
  for (int operation = 0; operation < 20'000; ++operation) {
    PrefixDomain domain{TenantId{static_cast<std::uint32_t>(random() % 2)}, AdapterId{random() % 2}};
    if (domain.adapter != kNoAdapter && random() % 2 == 0) domain.adapter_begin = static_cast<std::int32_t>(random() % 14);
    std::vector<TokenId> tokens(random() % 20);
    for (TokenId& token : tokens) token = static_cast<TokenId>(random() % 2);
    ASSERT_NO_FATAL_FAILURE(expect_match(domain, tokens));
    while (world.pool.free_count() < 5 && !world.order.empty()) {
      const PageIndex page = world.order.cheapest();
      world.evict_cheapest();
      std::erase_if(model, [&](const auto& entry) { return entry.second == page; });
    }
    if (world.pool.free_count() >= 5) {
      PrefixPin pin = world.write(domain, tokens);
      for (std::uint32_t page = 0; page < pin.size(); ++page)
        model[{domain_of(domain, page), {tokens.begin(), tokens.begin() + (page + 1) * kPageTokens}}] = pin.pages()[page];
      pins.push_back(std::move(pin));
    }
    if (pins.size() > 3 || world.pool.free_count() < 5) {
      std::swap(pins[random() % pins.size()], pins.back());
      pins.pop_back();
    }
    pin_counts.assign(kPages, 0);
    for (const PrefixPin& pin : pins)
      for (const PageIndex page : pin.pages()) ++pin_counts[page.value];
    ASSERT_EQ(world.index.check_invariants(pin_counts), "");
    ASSERT_EQ(world.pool.count(PageUse::prefix), model.size());
  }
}

}  // namespace
}  // namespace slora
