#include "adapters/image_layout.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"

namespace slora {
namespace {

constexpr std::size_t kCacheLine = 64;

constexpr std::size_t rounded_up(std::size_t value, std::size_t unit) { return (value + unit - 1) / unit * unit; }

// Hands out places from the first page on, and never looks back.
class Placer {
 public:
  Placer(ImageLayout& layout, std::size_t element_bytes) : layout_(layout), element_bytes_(element_bytes) {}

  ImageMatrix place_matrix(std::int32_t rows, std::int32_t cols) {
    ImageMatrix matrix{rows, cols, static_cast<std::int32_t>(layout_.tiles.size()), 0};
    if (cols * element_bytes_ <= layout_.page_bytes) {
      place_rows(matrix);
    } else {
      place_split_rows(matrix);
    }
    matrix.tile_count = static_cast<std::int32_t>(layout_.tiles.size()) - matrix.tile_begin;
    return matrix;
  }

  // Requires: bytes <= page_bytes.
  ImagePlace place_whole(std::size_t bytes) {
    if (room() < bytes) turn_page();
    return take(bytes);
  }

 private:
  void place_rows(const ImageMatrix& matrix) {
    const std::size_t row_bytes = matrix.cols * element_bytes_;
    for (std::int32_t row = 0; row < matrix.rows;) {
      if (room() < row_bytes) turn_page();
      const auto count = static_cast<std::int32_t>(std::min<std::size_t>(room() / row_bytes, static_cast<std::size_t>(matrix.rows - row)));
      layout_.tiles.push_back({take(count * row_bytes), row, count, 0, matrix.cols});
      row += count;
    }
  }

  void place_split_rows(const ImageMatrix& matrix) {
    for (std::int32_t row = 0; row < matrix.rows; ++row) {
      for (std::int32_t col = 0; col < matrix.cols;) {
        if (room() < kColumnBlock * element_bytes_) turn_page();
        const auto blocks = static_cast<std::int32_t>(room() / (kColumnBlock * element_bytes_));
        const std::int32_t count = std::min(blocks * kColumnBlock, matrix.cols - col);
        layout_.tiles.push_back({take(count * element_bytes_), row, 1, col, count});
        col += count;
      }
    }
  }

  [[nodiscard]] std::size_t room() const { return layout_.page_bytes - offset_; }

  void turn_page() {
    ++page_;
    offset_ = 0;
  }

  ImagePlace take(std::size_t bytes) {
    const ImagePlace place{page_, static_cast<std::uint32_t>(offset_)};
    offset_ += rounded_up(bytes, kCacheLine);  // stays in the page, which is a whole number of cache lines
    layout_.page_count = page_ + 1;
    layout_.used_bytes += bytes;
    return place;
  }

  ImageLayout& layout_;
  const std::size_t element_bytes_;
  std::uint32_t page_ = 0;
  std::size_t offset_ = 0;  // a multiple of kCacheLine
};

}  // namespace

Result<ImageLayout> make_image_layout(std::vector<AdapterRecord> records, const AdapterFormat& format, std::size_t page_bytes) {
  check(page_bytes % kCacheLine == 0 && page_bytes >= kPageBytesMin, "pages of whole cache lines that hold a column block");
  check(format.b_interleave >= 1 && kColumnBlock % format.b_interleave == 0, "blocks of whole groups of ranks");
  check(page_bytes <= std::numeric_limits<std::uint32_t>::max(), "pages that 32-bit offsets reach");
  ImageLayout layout{.format = format, .page_bytes = page_bytes, .page_count = 0, .used_bytes = 0, .records = {}, .tiles = {}};
  layout.records.reserve(records.size());
  Placer placer(layout, bytes_of(format.dtype));
  for (AdapterRecord& record : records) {
    check(record.is_served(), "importers refuse parts that no kernel serves");
    ImageRecord placed;
    if (record.rank > 0) {
      const std::int32_t b_rows = (record.rank + format.b_interleave - 1) / format.b_interleave;
      placed.a = placer.place_matrix(record.rank, record.in);
      placed.b = placer.place_matrix(b_rows, record.out * format.b_interleave);
    }
    if (record.has_bias()) {
      const std::size_t bias_bytes = static_cast<std::size_t>(record.out) * sizeof(float);
      if (bias_bytes > page_bytes) {
        return error("E_TOO_LARGE", "a bias of {} numbers takes {} bytes, more than a page of {}; use larger pages (--page-tokens)",
                     record.out, bias_bytes, page_bytes);
      }
      placed.bias = placer.place_whole(bias_bytes);
    }
    placed.record = std::move(record);
    layout.records.push_back(std::move(placed));
  }
  return layout;
}

}  // namespace slora
