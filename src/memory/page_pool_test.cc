#include "memory/page_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

namespace slora {
namespace {

constexpr PageOwner kSequence{PageUse::sequence, TenantId{1}, 7};
constexpr PageOwner kPrefix{PageUse::prefix, TenantId{1}, 0};

TEST(PagePool, GivesPagesBackWhenListDies) {
  PagePool pool(8);
  {
    PageList list = pool.empty_list(kSequence);
    pool.take(list, 5);
    EXPECT_EQ(pool.free_count(), 3u);
    EXPECT_EQ(pool.count(PageUse::sequence), 5u);
    for (const PageIndex page : list.pages()) EXPECT_EQ(pool.owner(page), kSequence);
  }
  EXPECT_EQ(pool.free_count(), 8u);
}

TEST(PagePool, MovesListsWithoutGivingPagesBack) {
  PagePool pool(8);
  PageList first = pool.empty_list(kSequence);
  pool.take(first, 3);
  PageList second = std::move(first);
  EXPECT_EQ(second.size(), 3u);
  EXPECT_EQ(pool.free_count(), 5u);
  PageList third = pool.empty_list(kSequence);
  pool.take(third, 2);
  third = std::move(second);
  EXPECT_EQ(third.size(), 3u);
  EXPECT_EQ(pool.free_count(), 5u);
}

TEST(PagePool, HandsTheFirstPageToAnotherOwner) {
  PagePool pool(4);
  PageList list = pool.empty_list(kSequence);
  pool.take(list, 2);
  const PageIndex first = list.pages()[0], second = list.pages()[1];
  EXPECT_EQ(list.hand_over_first(kPrefix), first);
  EXPECT_EQ(pool.owner(first), kPrefix);
  EXPECT_EQ(list.pages()[0], second);
  pool.give_back(first, kPrefix);
  EXPECT_EQ(pool.free_count(), 3u);
}

TEST(PagePoolDeathTest, StopsAtAPageInTwoHands) {
  PagePool pool(4);
  PageList list = pool.empty_list(kSequence);
  pool.take(list, 1);
  const PageIndex page = list.pages()[0];
  const PageOwner other_tenant{PageUse::sequence, TenantId{2}, 7};
  EXPECT_DEATH(pool.give_back(page, other_tenant), "belong to its previous owner");
  EXPECT_DEATH(pool.give_back(PageIndex{3}, kSequence), "belong to its previous owner");
  EXPECT_DEATH(pool.take(list, 4), "enough free pages");
}

TEST(PagePool, NeitherLosesNorDoublesPagesInAMillionOperations) {
  constexpr std::uint32_t kPages = 300;
  PagePool pool(kPages);
  std::mt19937_64 random(20261);
  const auto below = [&](std::uint64_t count) { return random() % count; };
  std::vector<PageList> lists;
  std::vector<std::pair<PageIndex, PageOwner>> singles;
  std::vector<std::uint8_t> held(kPages);  // by the model
  std::uint32_t held_count = 0;
  for (std::uint64_t operation = 0; operation < 1'000'000; ++operation) {
    const std::uint64_t kind = below(5);
    if (kind <= 1) {
      const std::uint32_t count = static_cast<std::uint32_t>(below(9));
      if (count > pool.free_count()) {
        ASSERT_LT(kPages - held_count, count);
        continue;
      }
      PageList list = pool.empty_list({PageUse::sequence, TenantId{static_cast<std::uint32_t>(below(3))}, operation});
      pool.take(list, count);
      for (const PageIndex page : list.pages()) ASSERT_EQ(std::exchange(held[page.value], 1), 0);
      held_count += count;
      lists.push_back(std::move(list));
    } else if (kind == 2 && !lists.empty()) {
      std::swap(lists[below(lists.size())], lists.back());
      for (const PageIndex page : lists.back().pages()) held[page.value] = 0;
      held_count -= lists.back().size();
      lists.pop_back();
    } else if (kind == 3 && !lists.empty()) {
      PageList& list = lists[below(lists.size())];
      if (list.empty()) continue;
      const PageOwner owner{PageUse::prefix, list.owner().tenant, operation};
      singles.emplace_back(list.hand_over_first(owner), owner);
    } else if (!singles.empty()) {
      std::swap(singles[below(singles.size())], singles.back());
      pool.give_back(singles.back().first, singles.back().second);
      held[singles.back().first.value] = 0;
      --held_count;
      singles.pop_back();
    }
    ASSERT_EQ(pool.free_count(), kPages - held_count);
    ASSERT_EQ(pool.count(PageUse::prefix), singles.size());
  }
  lists.clear();
  for (const auto& [page, owner] : singles) pool.give_back(page, owner);
  EXPECT_EQ(pool.free_count(), kPages);
}

}  // namespace
}  // namespace slora
