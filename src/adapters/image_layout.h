#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "adapters/adapter_record.h"
#include "base/result.h"
#include "ops/adapter_format.h"

namespace slora {

// What a load does to the pages that other adapters have as well: they are written with the rest, or hold their numbers already.
enum class SharedPart : std::uint8_t { write, leave };

// The addresses of one image's pages, in their order.
using ImagePages = std::span<std::byte* const>;

// An address in an image, which is a list of pages.
struct ImagePlace {
  std::uint32_t page = 0;    // index in the image's pages
  std::uint32_t offset = 0;  // bytes from its start; a multiple of 64
};

// row_count rows of col_count elements, stored row after row without gaps.
struct ImageTile {
  ImagePlace place;
  std::int32_t row_begin = 0, row_count = 0;
  std::int32_t col_begin = 0, col_count = 0;
};

// Where every number of an adapter lies in its pages. Plain data, const after make_image_layout.
struct ImageLayout {
  AdapterFormat format;
  std::size_t page_bytes = 0;
  std::uint32_t page_count = 0;
  std::uint32_t shared_page_count = 0;  // the last of these: what other adapters have as well, byte by byte
  std::size_t used_bytes = 0;           // what the numbers take; the rest of the pages is unused
  std::vector<AdapterRecord> records;   // as given, each part with the place where it is stored
  std::vector<ImageTile> tiles;

  [[nodiscard]] std::uint32_t own_page_count() const { return page_count - shared_page_count; }
};

// Places the slices of the records' parts one after the other: A as it is; B transposed, [ceil(rank / interleave), out * interleave];
// the biases, which are summed, in one fp32 vector [out]; gains as fp32 vectors; of a sparse matrix what SparseMatrix has. Parts of the
// same numbers are stored once. A row goes to the next page rather than being split; rows longer than a page are cut into column blocks
// whose lengths are multiples of kColumnBlock but for the last; so are the elements of sparse matrices, wherever pages end; vectors are
// never split. Every tile starts at a cache line. At most one page, less than the longest row in each page, and (only where rows are not
// whole cache lines) less than a cache line per tile stay unused. Shared parts are on pages of their own, in an order that depends on
// nothing but which slices of which tensors they are. E_TOO_LARGE when a bias does not fit in one page. Requires: records are ordered by
// (site, slice_begin), their parts sliced; b_interleave divides kColumnBlock; page_bytes is a multiple of 64 and at least kPageBytesMin.
inline constexpr std::int32_t kColumnBlock = 64;
inline constexpr std::size_t kPageBytesMin = kColumnBlock * sizeof(float);
[[nodiscard]] Result<ImageLayout> make_image_layout(std::vector<AdapterRecord> records, const AdapterFormat& format,
                                                    std::size_t page_bytes);

// The same without their shared pages: images for loads that leave these.
[[nodiscard]] std::vector<ImageLayout> without_shared_pages(std::span<const ImageLayout> layouts);

// Makes the shared pages of an adapter's layouts on all shards begin at the same place.
void align_shared_pages(std::span<ImageLayout> layouts);

}  // namespace slora
