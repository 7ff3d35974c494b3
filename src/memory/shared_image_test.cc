// Images that several adapters share.
#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "memory/paged_memory.h"

namespace slora {
namespace {

constexpr std::array kShared = {SharedImage{AdapterId{100}, 3}};
constexpr AdapterNeeds kFirst{AdapterId{1}, 1, kShared}, kSecond{AdapterId{2}, 1, kShared};

class SharedImageTest : public testing::Test {
 protected:
  void bring(const AdapterNeeds& needs) {
    memory.begin_load(needs);
    memory.adapters().landed(needs.adapter);
  }
  PageList take(std::uint32_t count) {
    PageList pages = memory.empty_list({PageUse::sequence, TenantId{}, 1});
    memory.take(pages, count);
    return pages;
  }
  std::vector<AdapterId> evicted() {
    std::vector<AdapterId> ids;
    memory.adapters().take_evicted(ids);
    return ids;
  }

  PagedMemory memory{{.page_count = 8, .page_tokens = 4}};
};

TEST_F(SharedImageTest, IsThereOnceAndIsPaidForOnce) {
  bring(kFirst);
  const std::vector<PageIndex> pages(memory.adapters().pages_of_shared(AdapterId{100}).begin(),
                                     memory.adapters().pages_of_shared(AdapterId{100}).end());
  EXPECT_EQ(pages.size(), 3u);
  bring(kSecond);
  EXPECT_EQ(memory.pool().free_count(), 3u);
  EXPECT_TRUE(std::ranges::equal(memory.adapters().pages_of_shared(AdapterId{100}), pages));
  EXPECT_EQ(memory.adapters().settle_load(AdapterId{1}), 4u);
  EXPECT_EQ(memory.adapters().settle_load(AdapterId{2}), 1u);
}

TEST_F(SharedImageTest, StaysWithTheLastAdapterThatUsesIt) {
  bring(kFirst);
  bring(kSecond);
  { const PageList pages = take(4); }  // evicts one of them
  EXPECT_TRUE(memory.adapters().has_shared(AdapterId{100}));
  EXPECT_EQ(evicted().size(), 1u);
  { const PageList pages = take(5); }
  EXPECT_FALSE(memory.adapters().has_shared(AdapterId{100}));
  EXPECT_EQ(evicted().size(), 2u) << "the adapter and the shared image";
  EXPECT_EQ(memory.pool().free_count(), 8u);
}

TEST_F(SharedImageTest, CountsAsEvictableWhenAllThatUseItAreIdle) {
  bring(kFirst);
  EXPECT_EQ(memory.available(), 8u);
  {
    const AdapterHold pin = memory.adapters().hold(kFirst.adapter, AdapterInterest::pinned);
    EXPECT_EQ(memory.available(), 4u);
    bring(kSecond);
    EXPECT_EQ(memory.available(), 4u) << "the second may be evicted, and takes nothing else along";
  }
  EXPECT_EQ(memory.available(), 8u);
}

TEST_F(SharedImageTest, IsNotEvictedForTheAdapterThatNeedsIt) {
  bring(kFirst);
  EXPECT_EQ(memory.adapters().pages_to_load(kSecond), 4u) << "what is idle is available to others so far";
  constexpr AdapterNeeds large{AdapterId{3}, 5, kShared};
  bring(large);  // evicts the first
  EXPECT_EQ(memory.adapters().state(kFirst.adapter), AdapterState::absent);
  EXPECT_EQ(memory.pool().free_count(), 0u);
  EXPECT_EQ(evicted(), std::vector{kFirst.adapter});
  EXPECT_EQ(memory.adapters().settle_load(AdapterId{3}), 5u);
}

TEST_F(SharedImageTest, OutlivesTheLoadThatWasToBringIt) {
  memory.begin_load(kFirst);
  memory.begin_load(kSecond);
  EXPECT_EQ(memory.available(), 3u);
  memory.adapters().failed(kFirst.adapter);
  EXPECT_TRUE(memory.adapters().has_shared(AdapterId{100}));
  memory.adapters().failed(kSecond.adapter);
  EXPECT_FALSE(memory.adapters().has_shared(AdapterId{100}));
  EXPECT_EQ(memory.pool().free_count(), 8u) << "failed loads leave nothing";
}

TEST_F(SharedImageTest, IsGivenUpWhenALoadAheadFindsNoPages) {
  bring(kFirst);
  constexpr AdapterNeeds large{AdapterId{3}, 5, kShared};
  EXPECT_FALSE(memory.try_begin_load_below(large, 0)) << "nothing is worth less";
  EXPECT_EQ(memory.available(), 8u);
  EXPECT_TRUE(memory.try_begin_load_below(large, memory.adapters().value_of(1) + 1));
  memory.adapters().failed(large.adapter);
  EXPECT_EQ(memory.pool().free_count(), 8u);
}

}  // namespace
}  // namespace slora
