#pragma once
#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "memory/page_pool.h"

namespace slora {

// The pool as a picture: who holds which pages, in cells of equally many consecutive ones, so that its size is bounded.
struct PageMap {
  struct Cell {
    PageUse use = PageUse::free;
    AdapterId adapter = kNoAdapter;  // of prefix and adapter; with several, the one of the cell's last page of that use
    auto operator<=>(const Cell&) const = default;
  };
  std::uint32_t pages_per_cell = 1;
  std::vector<Cell> cells;
};

// A map with capacity for so many cells, so that draw_pages() allocates nothing.
[[nodiscard]] PageMap make_page_map(std::uint32_t cells_max);
// Fills the map as its capacity allows; a cell shows what most of its pages are used for. O(pages). Requires: a map of make_page_map().
void draw_pages(PageMap& map, const PagePool& pool);

}  // namespace slora
