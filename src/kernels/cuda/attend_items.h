#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/cuda/attend.h"

namespace slora::cuda {

// How a model's attention is cut.
struct AttendCut {
  std::int32_t kv_heads;
  std::int32_t group;  // query heads of a kv head
  std::int32_t window;
  std::int32_t range_keys = AttendArgs::kRangeKeys;
  std::int32_t tile_rows = AttendItem::kRowsMax;  // these two and the window as in AttendArgs
};

// What a host puts into an AttendList. Its owner uses it again for later steps: it keeps its memory.
class AttendItems {
 public:
  explicit AttendItems(const AttendCut& cut) : cut_(cut) {}

  void clear(const AttendCut& cut) {
    cut_ = cut;
    items_.clear();
    joins_.clear();
    part_rows_ = 0;
  }
  // Adds span `index` of StepSpans. The queries of a prompt are tiles enough for a device; if there is one tile a kv head, each range of
  // its keys is an item.
  void add(std::int32_t index, const Span& span) {
    const std::int32_t queries = cut_.tile_rows / cut_.group;
    if (span.row_count <= queries) {
      add_ranges(index, span, queries);
    } else {
      add_tiles(index, span, queries);
    }
  }
  // The same with tiles of so many queries, which are items or, if they see keys of several ranges, have an item a range.
  void add_tiles(std::int32_t index, const Span& span, std::int32_t queries) {
    for_each_tile(index, span, queries, [&](const AttendItem& tile) { items_.push_back(tile); });
  }
  void add_ranges(std::int32_t index, const Span& span, std::int32_t queries) {
    for_each_tile(index, span, queries, [&](const AttendItem& tile) { add_ranges_of(tile, span); });
  }

  [[nodiscard]] const std::vector<AttendItem>& items() const { return items_; }
  [[nodiscard]] const std::vector<AttendJoin>& joins() const { return joins_; }
  // At most so many rows of AttendParts would be left by add().
  [[nodiscard]] std::int64_t part_rows_max(const Span& span) const {
    if (span.row_count > cut_.tile_rows / cut_.group) return 0;
    const std::int64_t end = span.position_begin + span.row_count;
    const std::int64_t heads = std::int64_t{cut_.kv_heads} * cut_.group;
    return AttendItem::kParts * heads * span.row_count * ((end + cut_.range_keys - 1) / cut_.range_keys);
  }
  // Rows of AttendParts that the items leave: of a span with one query, kParts times its heads for each range that it sees.
  [[nodiscard]] std::int32_t part_rows() const { return part_rows_; }

 private:
  template <class Visit>
  void for_each_tile(std::int32_t index, const Span& span, std::int32_t queries, Visit visit) const {
    // The last queries see most keys: their items come first, so that no long one is left to the end.
    for (std::int32_t query = (span.row_count - 1) / queries * queries; query >= 0; query -= queries) {
      for (std::int32_t head = 0; head < cut_.kv_heads; ++head) {
        visit(AttendItem{index, query, std::min(queries, span.row_count - query), head});
      }
    }
  }
  void add_ranges_of(AttendItem item, const Span& span) {
    const std::int32_t first = span.position_begin + item.query_begin, end = first + item.query_count;
    const std::int32_t range_begin = (cut_.window == 0 ? 0 : std::max(0, first - cut_.window + 1)) / cut_.range_keys;
    const std::int32_t range_end = (end + cut_.range_keys - 1) / cut_.range_keys;
    if (range_end - range_begin == 1) {
      items_.push_back(item);
      return;
    }
    joins_.push_back({item.span, item.query_begin, item.query_count, item.kv_head, part_rows_, range_end - range_begin});
    for (item.range = range_begin; item.range < range_end; ++item.range) {
      item.part_row = part_rows_;
      items_.push_back(item);
      part_rows_ += AttendItem::kParts * item.query_count * cut_.group;
    }
  }

  AttendCut cut_;
  std::vector<AttendItem> items_;
  std::vector<AttendJoin> joins_;
  std::int32_t part_rows_ = 0;
};

}  // namespace slora::cuda
