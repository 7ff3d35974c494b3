#include "memory/paged_memory.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "memory/page_budget.h"

namespace slora {
namespace {

constexpr AdapterId kAdapter{5};

PageList take(PagedMemory& memory, const PageOwner& owner, std::uint32_t count) {
  PageList pages = memory.empty_list(owner);
  memory.take(pages, count);
  return pages;
}

void bring(PagedMemory& memory, AdapterId adapter, std::uint32_t page_count) {
  memory.begin_load({adapter, page_count});
  memory.adapters().landed(adapter);
}

// Leaves one cached page per four tokens.
void cache(PagedMemory& memory, const std::vector<TokenId>& tokens, AdapterId adapter = kNoAdapter) {
  PrefixPin pin = memory.prefixes().begin({TenantId{}, adapter});
  for (std::size_t at = 0; at + 4 <= tokens.size(); at += 4) {
    PageList own = take(memory, {PageUse::sequence, TenantId{}, 1}, 1);
    static_cast<void>(memory.prefixes().try_extend(pin, std::span(tokens).subspan(at, 4), own));
  }
}

class PagedMemoryTest : public testing::Test {
 protected:
  PagedMemory memory{{.page_count = 8, .page_tokens = 4}};
};

TEST_F(PagedMemoryTest, GivesExactlyWhatIsFreeOrEvictable) {
  bring(memory, kAdapter, 3);
  cache(memory, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_EQ(memory.pool().free_count(), 3u);
  EXPECT_EQ(memory.available(), 8u);
  {
    const AdapterHold pin = memory.adapters().hold(kAdapter, AdapterInterest::pinned);
    EXPECT_EQ(memory.available(), 5u);
    const PageList all = take(memory, {PageUse::sequence, TenantId{}, 1}, 5);
    EXPECT_EQ(memory.available(), 0u);
    EXPECT_TRUE(memory.adapters().is_resident(kAdapter));
  }
  const PageList all = take(memory, {PageUse::sequence, TenantId{}, 1}, 8);
  EXPECT_EQ(memory.adapters().state(kAdapter), AdapterState::absent);
}

TEST_F(PagedMemoryTest, LeavesIdleAdaptersUntilTheMemoryIsWanted) {
  bring(memory, kAdapter, 3);
  { const PageList some = take(memory, {PageUse::sequence, TenantId{}, 1}, 5); }
  EXPECT_TRUE(memory.adapters().is_resident(kAdapter));
  const PageList more = take(memory, {PageUse::sequence, TenantId{}, 1}, 6);
  EXPECT_FALSE(memory.adapters().is_resident(kAdapter));
  std::vector<AdapterId> evicted;
  memory.adapters().take_evicted(evicted);
  EXPECT_EQ(evicted, std::vector{kAdapter});
}

TEST_F(PagedMemoryTest, LosesWhatIsCheapToBringBackBeforeWhatIsDear) {
  cache(memory, {1, 2, 3, 4});  // computing is dearer than copying
  bring(memory, kAdapter, 3);
  const PageList pages = take(memory, {PageUse::sequence, TenantId{}, 1}, 5);
  EXPECT_FALSE(memory.adapters().is_resident(kAdapter));
  EXPECT_EQ(memory.pool().count(PageUse::prefix), 1u);
}

TEST_F(PagedMemoryTest, KeepsTheAdapterThatIsUsedMore) {
  bring(memory, AdapterId{1}, 3);
  bring(memory, AdapterId{2}, 3);
  for (int use = 0; use < 3; ++use) {
    const AdapterHold pin = memory.adapters().hold(AdapterId{1}, AdapterInterest::pinned);
    memory.adapters().record_use(AdapterId{1});
  }
  const PageList pages = take(memory, {PageUse::sequence, TenantId{}, 1}, 3);
  EXPECT_TRUE(memory.adapters().is_resident(AdapterId{1}));
  EXPECT_FALSE(memory.adapters().is_resident(AdapterId{2}));
}

TEST_F(PagedMemoryTest, LosesAnAwaitedAdapterLast) {
  bring(memory, AdapterId{1}, 4);
  const AdapterHold awaited = memory.adapters().hold(AdapterId{1}, AdapterInterest::awaited);
  cache(memory, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  const PageList most = take(memory, {PageUse::sequence, TenantId{}, 1}, 4);
  EXPECT_TRUE(memory.adapters().is_resident(AdapterId{1}));
  EXPECT_EQ(memory.available(), 4u);
  const PageList rest = take(memory, {PageUse::sequence, TenantId{}, 1}, 4);
  EXPECT_FALSE(memory.adapters().is_resident(AdapterId{1}));
}

TEST_F(PagedMemoryTest, TakesForPrefetchOnlyWhatIsWorthLess) {
  cache(memory, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20});
  EXPECT_FALSE(memory.try_begin_load_below({kAdapter, 4}, memory.adapters().value_of(4)));
  EXPECT_EQ(memory.adapters().state(kAdapter), AdapterState::absent);
  EXPECT_TRUE(memory.try_begin_load_below({kAdapter, 3}, memory.adapters().value_of(3)));
  EXPECT_EQ(memory.pool().count(PageUse::prefix), 5u);
}

TEST_F(PagedMemoryTest, DropsARetiredAdapterWithItsLastHold) {
  bring(memory, kAdapter, 2);
  cache(memory, {1, 2, 3, 4}, kAdapter);
  {
    const AdapterHold named = memory.adapters().hold(kAdapter, AdapterInterest::named);
    memory.adapters().retire(kAdapter);
    EXPECT_TRUE(memory.adapters().is_resident(kAdapter));
    EXPECT_TRUE(memory.adapters().is_retired(kAdapter));
  }
  EXPECT_EQ(memory.pool().free_count(), 8u);
  memory.adapters().retire(AdapterId{77});  // never heard of
  EXPECT_FALSE(memory.adapters().is_retired(AdapterId{77}));
}

TEST_F(PagedMemoryTest, DropsAnAdapterThatWasRetiredWhileLoading) {
  memory.begin_load({kAdapter, 2});
  memory.adapters().retire(kAdapter);
  EXPECT_EQ(memory.pool().free_count(), 6u);
  memory.adapters().landed(kAdapter);
  EXPECT_EQ(memory.pool().free_count(), 8u);
}

TEST_F(PagedMemoryTest, EvictsWhatNobodyUsedForTheIdleTime) {
  AdapterCache& adapters = memory.adapters();
  bring(memory, AdapterId{1}, 1);
  bring(memory, AdapterId{2}, 1);
  bring(memory, AdapterId{3}, 1);
  const AdapterHold named = adapters.hold(AdapterId{3}, AdapterInterest::named);
  const auto resident = [&] {
    return std::vector{adapters.is_resident(AdapterId{1}), adapters.is_resident(AdapterId{2}), adapters.is_resident(AdapterId{3})};
  };
  constexpr Timestamp kIdle{10};
  adapters.evict_unused(Timestamp{100}, kIdle);
  adapters.evict_unused(Timestamp{109}, kIdle);
  EXPECT_EQ(resident(), (std::vector{true, true, true}));
  {
    const AdapterHold pin = adapters.hold(AdapterId{2}, AdapterInterest::pinned);
    adapters.record_use(AdapterId{2});
  }
  adapters.evict_unused(Timestamp{110}, kIdle);
  EXPECT_EQ(resident(), (std::vector{false, true, true}));
  adapters.evict_unused(Timestamp{119}, kIdle);
  EXPECT_EQ(resident(), (std::vector{false, true, true}));
  adapters.evict_unused(Timestamp{120}, kIdle);
  EXPECT_EQ(resident(), (std::vector{false, false, true})) << "somebody waits for the last one";
}

TEST(PagedMemoryThatEvictsWhenIdle, LosesAnAdapterWithItsLastUserButNotOneThatWaitsForItsFirst) {
  PagedMemory memory{{.page_count = 8, .page_tokens = 4, .eviction = EvictionPolicy::evict_when_idle}};
  AdapterCache& adapters = memory.adapters();
  const AdapterHold waiting = adapters.hold(kAdapter, AdapterInterest::named);
  for (int round = 0; round < 2; ++round) {
    bring(memory, kAdapter, 2);
    { const AdapterHold tried = adapters.hold(kAdapter, AdapterInterest::pinned); }  // there was no memory for its sequence
    EXPECT_TRUE(adapters.is_resident(kAdapter)) << "it was loaded ahead";
    std::optional<AdapterHold> pin = adapters.hold(kAdapter, AdapterInterest::pinned);
    adapters.record_use(kAdapter);
    { const AdapterHold other = adapters.hold(kAdapter, AdapterInterest::pinned); }
    EXPECT_TRUE(adapters.is_resident(kAdapter));
    pin.reset();
    EXPECT_FALSE(adapters.is_resident(kAdapter));
  }
  EXPECT_EQ(adapters.evictions(), 2u);
}

class PagedMemoryWithSeparatePages : public testing::Test {
 protected:
  PagedMemory memory{{.page_count = 8, .page_tokens = 4, .adapter_pages_separate = 3}};
};

TEST_F(PagedMemoryWithSeparatePages, GivesNeitherSideWhatIsTheOthers) {
  EXPECT_EQ(memory.available(), 5u);
  EXPECT_EQ(memory.available_to_adapters(), 3u);
  bring(memory, AdapterId{1}, 2);
  cache(memory, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_EQ(memory.available(), 5u);
  EXPECT_EQ(memory.available_to_adapters(), 3u);
  bring(memory, AdapterId{2}, 3);
  EXPECT_FALSE(memory.adapters().is_resident(AdapterId{1})) << "though other pages are free";
  EXPECT_EQ(memory.pool().count(PageUse::prefix), 2u);
  const PageList all = take(memory, {PageUse::sequence, TenantId{}, 1}, 5);
  EXPECT_TRUE(memory.adapters().is_resident(AdapterId{2}));
  EXPECT_EQ(memory.pool().count(PageUse::prefix), 0u);
  EXPECT_EQ(memory.check_regions(), "");
}

TEST_F(PagedMemoryWithSeparatePages, PromisesThemSeparately) {
  PageBudget budget(memory);
  EXPECT_FALSE(budget.try_reserve(1, 4));
  const auto promise = budget.try_reserve(5, 3);
  ASSERT_TRUE(promise);
  EXPECT_EQ(budget.unpromised(), 0u);
  EXPECT_EQ(budget.unpromised_to_adapters(), 3u);
}

TEST_F(PagedMemoryTest, GivesThePagesOfAFailedLoadBack) {
  memory.begin_load({kAdapter, 2});
  EXPECT_EQ(memory.available(), 6u);
  EXPECT_EQ(memory.adapters().loading_count(), 1u);
  memory.adapters().failed(kAdapter);
  EXPECT_EQ(memory.pool().free_count(), 8u);
  EXPECT_EQ(memory.adapters().state(kAdapter), AdapterState::absent);
}

}  // namespace
}  // namespace slora
