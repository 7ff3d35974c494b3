#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
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
    lengths_.clear();
    joins_.clear();
    part_rows_ = 0;
  }
  void reserve(std::size_t items, std::size_t joins) {
    items_.reserve(items);
    lengths_.reserve(items);
    sorted_.reserve(items);
    joins_.reserve(joins);
  }
  // Of a tile at most.
  [[nodiscard]] std::int32_t queries_max() const { return cut_.tile_rows / cut_.group; }
  // Add span `index` of StepSpans in tiles of so many queries: each with all keys that it sees is an item, or with each range of them,
  // which leaves parts. Both give the same bits.
  void add_tiles(std::int32_t index, const Span& span, std::int32_t queries) {
    for_each_tile(index, span, queries, [&](const AttendItem& tile) { add_item(tile, ranges_of(tile, span).count()); });
  }
  void add_ranges(std::int32_t index, const Span& span, std::int32_t queries) {
    for_each_tile(index, span, queries, [&](const AttendItem& tile) { add_ranges_of(tile, span); });
  }
  // Blocks take items in their order: those that see most keys first, so that no long one is left to the end. Once, when all are added.
  void place_longest_first() {
    begins_.assign(lengths_.empty() ? 0 : static_cast<std::size_t>(*std::ranges::max_element(lengths_)) + 1, 0);
    for (const std::int32_t length : lengths_) ++begins_[static_cast<std::size_t>(length)];
    std::int32_t begin = 0;
    for (std::size_t length = begins_.size(); length-- > 0;) {
      const std::int32_t count = begins_[length];
      begins_[length] = begin;
      begin += count;
    }
    sorted_.resize(items_.size());
    for (std::size_t i = 0; i < items_.size(); ++i) {
      sorted_[static_cast<std::size_t>(begins_[static_cast<std::size_t>(lengths_[i])]++)] = items_[i];
    }
    std::swap(items_, sorted_);
  }

  [[nodiscard]] const std::vector<AttendItem>& items() const { return items_; }
  [[nodiscard]] const std::vector<AttendJoin>& joins() const { return joins_; }
  // How many items add_tiles() and add_ranges() would add.
  [[nodiscard]] std::int64_t tile_count(const Span& span) const {
    return std::int64_t{cut_.kv_heads} * ((span.row_count + queries_max() - 1) / queries_max());
  }
  [[nodiscard]] std::int64_t range_count_max(const Span& span) const {
    return tile_count(span) * ranges_to(span.position_begin + span.row_count);
  }
  // At most so many rows of AttendParts would be left by add_ranges().
  [[nodiscard]] std::int64_t part_rows_max(const Span& span) const {
    const std::int64_t heads = std::int64_t{cut_.kv_heads} * cut_.group;
    return AttendItem::kParts * heads * span.row_count * ranges_to(span.position_begin + span.row_count);
  }
  // Rows of AttendParts that the items leave: of a span with one query, kParts times its heads for each range that it sees.
  [[nodiscard]] std::int32_t part_rows() const { return part_rows_; }

 private:
  struct Ranges {
    std::int32_t begin, end;
    [[nodiscard]] std::int32_t count() const { return end - begin; }
  };

  template <class Visit>
  void for_each_tile(std::int32_t index, const Span& span, std::int32_t queries, Visit visit) const {
    for (std::int32_t query = 0; query < span.row_count; query += queries) {
      for (std::int32_t head = 0; head < cut_.kv_heads; ++head) {
        visit(AttendItem{index, query, std::min(queries, span.row_count - query), head});
      }
    }
  }
  [[nodiscard]] std::int32_t ranges_to(std::int32_t key_end) const { return (key_end + cut_.range_keys - 1) / cut_.range_keys; }
  // That a tile sees.
  [[nodiscard]] Ranges ranges_of(const AttendItem& tile, const Span& span) const {
    const std::int32_t first = span.position_begin + tile.query_begin;
    return {(cut_.window == 0 ? 0 : std::max(0, first - cut_.window + 1)) / cut_.range_keys, ranges_to(first + tile.query_count)};
  }
  void add_item(const AttendItem& item, std::int32_t range_count) {
    items_.push_back(item);
    lengths_.push_back(range_count);
  }
  void add_ranges_of(AttendItem item, const Span& span) {
    const Ranges ranges = ranges_of(item, span);
    if (ranges.count() == 1) return add_item(item, 1);
    joins_.push_back({item.span, item.query_begin, item.query_count, item.kv_head, part_rows_, ranges.count()});
    for (item.range = ranges.begin; item.range < ranges.end; ++item.range) {
      item.part_row = part_rows_;
      add_item(item, 1);
      part_rows_ += AttendItem::kParts * item.query_count * cut_.group;
    }
  }

  AttendCut cut_;
  std::vector<AttendItem> items_;
  std::vector<std::int32_t> lengths_;  // [items] in ranges
  std::vector<std::int32_t> begins_;   // by length: in sorted_
  std::vector<AttendItem> sorted_;
  std::vector<AttendJoin> joins_;
  std::int32_t part_rows_ = 0;
};

}  // namespace slora::cuda
