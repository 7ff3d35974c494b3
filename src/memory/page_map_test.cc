#include "memory/page_map.h"

#include <gtest/gtest.h>

namespace slora {
namespace {

TEST(PageMap, HasACellForEachPageWhereThereAreEnough) {
  PagePool pool(4);
  PageList image = pool.empty_list({PageUse::adapter, TenantId{}, 7});
  PageList sequence = pool.empty_list({PageUse::sequence, TenantId{}, 9});
  pool.take(image, 2);
  pool.take(sequence, 1);
  PageMap map = make_page_map(16);
  draw_pages(map, pool);
  EXPECT_EQ(map.pages_per_cell, 1u);
  ASSERT_EQ(map.cells.size(), 4u);
  for (const PageIndex page : image.pages()) EXPECT_EQ(map.cells[page.value], (PageMap::Cell{PageUse::adapter, AdapterId{7}}));
  for (const PageIndex page : sequence.pages()) EXPECT_EQ(map.cells[page.value], (PageMap::Cell{PageUse::sequence, kNoAdapter}));

  image.give_back();
  draw_pages(map, pool);
  EXPECT_EQ(std::ranges::count(map.cells, PageMap::Cell{}), 3);
}

TEST(PageMap, ShowsWhatMostPagesOfACellAreUsedForAndStaysWithinItsCells) {
  PagePool pool(10);
  PageList image = pool.empty_list({PageUse::adapter, TenantId{}, 7});
  pool.take(image, 10);
  PageMap map = make_page_map(4);
  draw_pages(map, pool);
  EXPECT_EQ(map.pages_per_cell, 3u);
  ASSERT_EQ(map.cells.size(), 4u) << "3, 3, 3 and 1 pages";
  for (const PageMap::Cell& cell : map.cells) EXPECT_EQ(cell.use, PageUse::adapter);

  PageList one = image.split_first();
  const std::uint32_t cell = one.pages().front().value / 3;
  one.give_back();
  draw_pages(map, pool);
  EXPECT_EQ(map.cells[cell].use, cell == 3 ? PageUse::free : PageUse::adapter) << "one of the cell's pages is free";
}

}  // namespace
}  // namespace slora
