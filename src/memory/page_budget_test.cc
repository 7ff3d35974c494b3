#include "memory/page_budget.h"

#include <gtest/gtest.h>

#include <utility>

namespace slora {
namespace {

class PageBudgetTest : public testing::Test {
 protected:
  PageList list(std::uint64_t id) { return memory.empty_list({PageUse::sequence, TenantId{}, id}); }

  PagedMemory memory{{.page_count = 8, .page_tokens = 4}};
  PageBudget budget{memory};
};

TEST_F(PageBudgetTest, ReservesOnlyWhatIsPromisedToNobody) {
  const auto first = budget.try_reserve(5);
  ASSERT_TRUE(first);
  EXPECT_EQ(budget.unpromised(), 3u);
  EXPECT_EQ(budget.available_to(*first), 8u);
  EXPECT_FALSE(budget.try_reserve(4));
  EXPECT_TRUE(budget.try_reserve(3));
  EXPECT_EQ(budget.unpromised(), 3u) << "the second promise ended at once";
}

TEST_F(PageBudgetTest, TakesPromisedPagesOnce) {
  PageList pages = list(1);
  auto promise = budget.try_reserve(5);
  promise->take(pages, 2);
  EXPECT_EQ(pages.size(), 2u);
  EXPECT_EQ(promise->count(), 3u);
  EXPECT_EQ(budget.unpromised(), 3u) << "six pages are available, three of them promised";
  promise->take(pages, 4);  // one beyond the promise
  EXPECT_EQ(promise->count(), 0u);
  EXPECT_EQ(budget.promised(), 0u);
  EXPECT_EQ(budget.unpromised(), 2u);
}

TEST_F(PageBudgetTest, GivesBackWhatAPromiseLeavesWhenItDies) {
  {
    auto promise = budget.try_reserve(5);
    PagePromise moved = std::move(*promise);
    promise.reset();
    EXPECT_EQ(budget.promised(), 5u);
    moved.renew(1);
    EXPECT_EQ(budget.promised(), 1u);
    auto other = budget.try_reserve(2);
    moved = std::move(*other);
    EXPECT_EQ(budget.promised(), 2u) << "an overwritten promise ends";
  }
  EXPECT_EQ(budget.promised(), 0u);
}

TEST_F(PageBudgetTest, PromisesMoreThanIsAvailableWhenRenewed) {
  PageList pages = list(1);
  auto promise = budget.try_reserve(1);
  memory.take(pages, 7);
  promise->renew(3);
  EXPECT_EQ(budget.unpromised(), 0u);
  EXPECT_EQ(budget.available_to(*promise), 1u);
}

}  // namespace
}  // namespace slora
