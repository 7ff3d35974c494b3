#include "memory/page_map.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace slora {

PageMap make_page_map(std::uint32_t cells_max) {
  check(cells_max > 0, "expected a map of at least one cell");
  PageMap map;
  map.cells.reserve(cells_max);
  return map;
}

void draw_pages(PageMap& map, const PagePool& pool) {
  const std::uint32_t page_count = pool.page_count();
  const auto cells_max = static_cast<std::uint32_t>(map.cells.capacity());
  map.pages_per_cell = std::max((page_count + cells_max - 1) / cells_max, 1u);
  map.cells.clear();
  for (std::uint32_t begin = 0; begin < page_count; begin += map.pages_per_cell) {
    std::array<std::uint32_t, kPageUseCount> counts{};
    std::array<AdapterId, kPageUseCount> adapters{};
    const std::uint32_t end = std::min(begin + map.pages_per_cell, page_count);
    for (std::uint32_t page = begin; page < end; ++page) {
      const PageOwner& owner = pool.owner(PageIndex{page});
      const auto use = static_cast<std::size_t>(owner.use);
      ++counts[use];
      if (owner.use == PageUse::prefix || owner.use == PageUse::adapter) adapters[use] = AdapterId{owner.id};
    }
    const auto most = static_cast<std::size_t>(std::ranges::max_element(counts) - counts.begin());
    map.cells.push_back({static_cast<PageUse>(most), adapters[most]});
  }
}

}  // namespace slora
