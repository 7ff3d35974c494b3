#include "adapters/image_layout.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <source_location>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/check.h"

namespace slora {
namespace {

constexpr std::size_t kCacheLine = 64;

constexpr std::size_t rounded_up(std::size_t value, std::size_t unit) { return (value + unit - 1) / unit * unit; }

// Assigns places from the first page on, in the order of the calls. One thread.
class Placer {
 public:
  explicit Placer(ImageLayout& layout) : layout_(layout) {}

  StoredMatrix place_matrix(std::int32_t rows, std::int32_t cols) {
    const DType dtype = layout_.format.dtype;
    StoredMatrix matrix{rows, cols, static_cast<std::int32_t>(layout_.tiles.size()), 0, dtype};
    if (cols * bytes_of(dtype) <= layout_.page_bytes) {
      place_rows(matrix);
    } else {
      place_split_rows(matrix);
    }
    matrix.tile_count = static_cast<std::int32_t>(layout_.tiles.size()) - matrix.tile_begin;
    return matrix;
  }

  // What follows is on other pages than what was placed so far.
  void end_page() {
    page_ = layout_.page_count;
    offset_ = 0;
  }

  // Requires: `count` fp32 numbers fit in a page.
  StoredMatrix place_vector(std::int32_t count) {
    const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(float);
    if (free_bytes() < bytes) start_page();
    const auto tile_begin = static_cast<std::int32_t>(layout_.tiles.size());
    layout_.tiles.push_back({take(bytes), 0, 1, 0, count});
    return {1, count, tile_begin, 1, DType::f32};
  }

  // One row, which is cut wherever a page ends.
  StoredMatrix place_elements(std::int32_t count, DType dtype) {
    StoredMatrix row{1, count, static_cast<std::int32_t>(layout_.tiles.size()), 0, dtype};
    place_split_rows(row);
    row.tile_count = static_cast<std::int32_t>(layout_.tiles.size()) - row.tile_begin;
    return row;
  }

 private:
  void place_rows(const StoredMatrix& matrix) {
    const std::size_t row_bytes = matrix.cols * bytes_of(matrix.dtype);
    for (std::int32_t row = 0; row < matrix.rows;) {
      if (free_bytes() < row_bytes) start_page();
      const auto count =
          static_cast<std::int32_t>(std::min<std::size_t>(free_bytes() / row_bytes, static_cast<std::size_t>(matrix.rows - row)));
      layout_.tiles.push_back({take(count * row_bytes), row, count, 0, matrix.cols});
      row += count;
    }
  }

  void place_split_rows(const StoredMatrix& matrix) {
    const std::size_t element_bytes = bytes_of(matrix.dtype);
    for (std::int32_t row = 0; row < matrix.rows; ++row) {
      for (std::int32_t col = 0; col < matrix.cols;) {
        if (free_bytes() < kColumnBlock * element_bytes) start_page();
        const auto blocks = static_cast<std::int32_t>(free_bytes() / (kColumnBlock * element_bytes));
        const std::int32_t count = std::min(blocks * kColumnBlock, matrix.cols - col);
        layout_.tiles.push_back({take(count * element_bytes), row, 1, col, count});
        col += count;
      }
    }
  }

  [[nodiscard]] std::size_t free_bytes() const { return layout_.page_bytes - offset_; }

  void start_page() {
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
  std::uint32_t page_ = 0;
  std::size_t offset_ = 0;  // a multiple of kCacheLine
};

Result<StoredMatrix> place_vector(Placer& placer, std::string_view what, std::int32_t count, std::size_t page_bytes) {
  const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(float);
  if (bytes <= page_bytes) return placer.place_vector(count);
  return error("E_TOO_LARGE", "a {} of {} numbers takes {} bytes, more than a page of {}; use larger pages (--page-tokens)", what, count,
               bytes, page_bytes);
}

// A part that is a matrix.
StoredMatrix place_matrix_part(Placer& placer, const AdapterPart& part, const AdapterFormat& format) {
  const SourceSlice& slice = part.slice;
  if (part.kind != PartKind::b) return placer.place_matrix(slice.row_count, slice.col_count);
  return placer.place_matrix((slice.col_count + format.b_interleave - 1) / format.b_interleave, slice.row_count * format.b_interleave);
}

// Requires: the parts of lower kinds are placed.
Result<StoredMatrix> place_part(Placer& placer, const AdapterRecord& record, const AdapterPart& part, const ImageLayout& layout) {
  const SourceSlice& slice = part.slice;
  switch (part.kind) {
    case PartKind::a:
    case PartKind::rows:
    case PartKind::added_rows:
    case PartKind::b:
      return place_matrix_part(placer, part, layout.format);
    case PartKind::input_gain:
    case PartKind::rank_gain:
    case PartKind::delta_gain:
    case PartKind::gain:
      return place_vector(placer, "gain", slice.col_count, layout.page_bytes);
    case PartKind::row_ids:
    case PartKind::row_counts:
      return place_vector(placer, "list of rows", slice.col_count, layout.page_bytes);
    case PartKind::columns:
      return placer.place_elements(slice.col_count, record.in <= kShortColumnsMax ? DType::u16 : DType::i32);
    case PartKind::values:
      return placer.place_elements(slice.col_count, layout.format.dtype);
    case PartKind::bias_added:
      return place_vector(placer, "bias", slice.col_count, layout.page_bytes);
    case PartKind::bias_replacing: {
      const AdapterPart* const added = record.find(PartKind::bias_added);  // the image holds their sum
      return added != nullptr ? added->stored : place_vector(placer, "bias", slice.col_count, layout.page_bytes);
    }
  }
  fail_check("expected a kind of part", std::source_location::current());
}

// The parts that other adapters have as well, in the order of what they are.
void place_shared_parts(Placer& placer, ImageLayout& layout) {
  std::map<std::tuple<PartKind, SourceSlice, SourceTensor>, std::vector<AdapterPart*>> shared;
  for (AdapterRecord& record : layout.records) {
    for (AdapterPart& part : record.parts) {
      if (part.is_shared) shared[{part.kind, part.slice, part.source}].push_back(&part);
    }
  }
  const std::uint32_t own_page_count = layout.page_count;
  placer.end_page();
  for (const auto& [what, parts] : shared) {
    check(parts.front()->kind == PartKind::a || parts.front()->kind == PartKind::b, "expected A or B to be shared");
    const StoredMatrix stored = place_matrix_part(placer, *parts.front(), layout.format);
    for (AdapterPart* const part : parts) {
      part->stored = stored;
      part->shares_storage = part != parts.front();
    }
  }
  layout.shared_page_count = layout.page_count - own_page_count;
}

}  // namespace

Result<ImageLayout> make_image_layout(std::vector<AdapterRecord> records, const AdapterFormat& format, std::size_t page_bytes) {
  check(page_bytes % kCacheLine == 0 && page_bytes >= kPageBytesMin, "expected pages of whole cache lines that hold a column block");
  check(format.b_interleave >= 1 && kColumnBlock % format.b_interleave == 0, "expected column blocks of whole groups of ranks");
  check(page_bytes <= std::numeric_limits<std::uint32_t>::max(), "expected pages whose offsets fit 32 bits");
  ImageLayout layout{
      .format = format, .page_bytes = page_bytes, .page_count = 0, .used_bytes = 0, .records = std::move(records), .tiles = {}};
  Placer placer(layout);
  std::map<std::tuple<SourceTensor, SourceOrigin, PartKind, SourceSlice>, StoredMatrix> placed;
  for (AdapterRecord& record : layout.records) {
    check(std::ranges::is_sorted(record.parts, {}, &AdapterPart::kind), "expected a record's parts to be ordered by kind");
    for (AdapterPart& part : record.parts) {
      if (part.is_shared) continue;
      const auto key = std::make_tuple(part.source, part.origin, part.kind, part.slice);
      // Biases are sums over parts, of which each record has its own; lists of rows count from where a record begins.
      constexpr std::array kOwn = {PartKind::bias_added, PartKind::bias_replacing, PartKind::row_ids};
      const bool may_share = std::ranges::find(kOwn, part.kind) == kOwn.end();
      if (const auto same = placed.find(key); may_share && same != placed.end()) {
        part.stored = same->second;
        part.shares_storage = true;
        continue;
      }
      const Result<StoredMatrix> stored = place_part(placer, record, part, layout);
      if (!stored) return tl::unexpected(stored.error());
      part.stored = *stored;
      if (may_share) placed.emplace(key, *stored);
    }
  }
  place_shared_parts(placer, layout);
  return layout;
}

std::vector<ImageLayout> without_shared_pages(std::span<const ImageLayout> layouts) {
  std::vector<ImageLayout> own(layouts.begin(), layouts.end());
  for (ImageLayout& layout : own) layout.page_count -= std::exchange(layout.shared_page_count, 0);
  return own;
}

void align_shared_pages(std::span<ImageLayout> layouts) {
  std::uint32_t begin = 0;
  for (const ImageLayout& layout : layouts) begin = std::max(begin, layout.own_page_count());
  for (ImageLayout& layout : layouts) {
    if (layout.shared_page_count == 0) continue;
    const std::uint32_t own_page_count = layout.own_page_count();
    for (ImageTile& tile : layout.tiles) {
      if (tile.place.page >= own_page_count) tile.place.page += begin - own_page_count;
    }
    layout.page_count += begin - own_page_count;
  }
}

}  // namespace slora
