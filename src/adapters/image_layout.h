#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "adapters/adapter_record.h"
#include "base/result.h"
#include "tensor/adapter_format.h"

namespace slora {

// A place in an image, which is a list of pages.
struct ImagePlace {
  std::uint32_t page = 0;    // which page of the image, from 0
  std::uint32_t offset = 0;  // bytes from its start; a multiple of 64
};

// row_count rows of col_count elements, row after row without gaps.
struct ImageTile {
  ImagePlace place;
  std::int32_t row_begin = 0, row_count = 0;
  std::int32_t col_begin = 0, col_count = 0;
};

// A stored matrix [rows, cols]: tiles [tile_begin, tile_begin + tile_count) of the layout, ordered by (row_begin, col_begin).
struct ImageMatrix {
  std::int32_t rows = 0, cols = 0;
  std::int32_t tile_begin = 0, tile_count = 0;
};

struct ImageRecord {
  AdapterRecord record;
  ImageMatrix a;                   // [rank, in]
  ImageMatrix b;                   // [ceil(rank / interleave), out * interleave]: B transposed
  std::optional<ImagePlace> bias;  // [out] fp32, contiguous
};

// Where every number of an adapter lies in its pages. Plain data, const after make_image_layout.
struct ImageLayout {
  AdapterFormat format;
  std::size_t page_bytes = 0;
  std::uint32_t page_count = 0;
  std::size_t used_bytes = 0;        // what the numbers take; the rest of the pages is waste
  std::vector<ImageRecord> records;  // as given
  std::vector<ImageTile> tiles;
};

// Places records one after the other, A, B and bias of each. A row goes to the next page rather than being split; rows longer
// than a page are cut into column blocks whose lengths are multiples of kColumnBlock but for the last. Every tile starts at a
// cache line. Wasted are at most one page, less than the longest row in each page, and (only where rows are not whole cache
// lines) less than a cache line per tile. E_TOO_LARGE when a bias can't lie in one page.
// Requires: records are served and ordered by (site, slice_begin); b_interleave divides kColumnBlock; page_bytes is a multiple of 64
// and at least kPageBytesMin.
inline constexpr std::int32_t kColumnBlock = 64;
inline constexpr std::size_t kPageBytesMin = kColumnBlock * sizeof(float);
[[nodiscard]] Result<ImageLayout> make_image_layout(std::vector<AdapterRecord> records, const AdapterFormat& format,
                                                    std::size_t page_bytes);

}  // namespace slora
