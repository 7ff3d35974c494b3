#include "backend/cuda/site_lists.h"

#include <algorithm>

#include "base/check.h"

namespace slora::cuda {
namespace {

// Rows of the matrix are whole in every piece, and begin at multiples of 16 bytes.
bool has_aligned_rows(const TiledMatrix& matrix) {
  const std::size_t row_bytes = static_cast<std::size_t>(matrix.cols) * sizeof(Bfloat16);
  return row_bytes % 16 == 0 && std::ranges::all_of(matrix, [&](const Tile& tile) {
           return tile.col_count == matrix.cols && reinterpret_cast<std::uintptr_t>(tile.data) % 16 == 0;
         });
}

}  // namespace

void SiteLists::clear() {
  arrays_.pieces.clear();
  arrays_.shrink_records.clear();
  arrays_.shrink_items.clear();
  arrays_.expand_records.clear();
  arrays_.expand_uses.clear();
  arrays_.expand_items.clear();
}

SiteLists::Site SiteLists::add(const AdapterBatch& adapters, slora::Site site) {
  Site added;
  added.shrink_items.begin = arrays_.shrink_items.size();
  added.expand_items.begin = arrays_.expand_items.size();
  records_of_.clear();
  for (const AdapterSegment& segment : adapters.segments.host) {
    ListPart& of_segment = records_of_.emplace_back(ListPart{arrays_.expand_records.size(), 0});
    if (segment.row_count == 0) continue;  // padding
    const std::size_t first = arrays_.shrink_records.size();
    for (const RecordView& record : segment.adapter->at(site)) {
      const std::int32_t z_begin = record.z_shard * adapters.z_shard_cols + segment.z_begin + record.z_begin;
      if (!record.a.empty()) add_shrink(record, z_begin, added);
      if (!record.b.empty() || record.bias != nullptr) add_expand(record, z_begin, added);
    }
    add_shrink_items(segment, first);
    of_segment.count = arrays_.expand_records.size() - of_segment.begin;
  }
  // A run's rows add up what all its segments' records give: each row is in one item.
  for (const AdapterRun& run : adapters.runs.host) {
    const auto use_begin = static_cast<std::int32_t>(arrays_.expand_uses.size());
    for (std::int32_t i = run.segment_begin; run.row_count > 0 && i < run.segment_begin + run.segment_count; ++i) {
      const auto index = static_cast<std::size_t>(adapters.run_segments.host[static_cast<std::size_t>(i)]);
      const float weight = adapters.segments.host[index].weight;
      const ListPart& records = records_of_[index];
      for (std::size_t record = records.begin; record < records.begin + records.count; ++record) {
        arrays_.expand_uses.push_back({static_cast<std::int32_t>(record), weight});
      }
    }
    const auto use_count = static_cast<std::int32_t>(arrays_.expand_uses.size()) - use_begin;
    if (use_count == 0) continue;
    for (std::int32_t row = 0; row < run.row_count; row += ExpandItem::kRowsMax) {
      const std::int32_t rows = std::min(ExpandItem::kRowsMax, run.row_count - row);
      arrays_.expand_items.push_back({run.row_begin + row, rows, use_begin, use_count});
    }
  }
  added.shrink_items.count = arrays_.shrink_items.size() - added.shrink_items.begin;
  added.expand_items.count = arrays_.expand_items.size() - added.expand_items.begin;
  return added;
}

void SiteLists::add_shrink(const RecordView& record, std::int32_t z_begin, Site& site) {
  check(record.a.dtype == DType::bf16, "expected matrices in the backend's format");
  const std::int32_t piece_begin = add_pieces(record.a);
  arrays_.shrink_records.push_back({piece_begin, record.a.tile_count, record.rank, z_begin});
  if (!has_aligned_rows(record.a)) site.shrink_alignment = MatrixAlignment::any;
}

// Neighbours run at the same time: those that read the same rows of x, which are more bytes than the matrices.
void SiteLists::add_shrink_items(const AdapterSegment& segment, std::size_t first_record) {
  for (std::int32_t row = 0; row < segment.row_count; row += ShrinkItem::kRowsMax) {
    const std::int32_t rows = std::min(ShrinkItem::kRowsMax, segment.row_count - row);
    for (std::size_t record = first_record; record < arrays_.shrink_records.size(); ++record) {
      for (std::int32_t rank = 0; rank < arrays_.shrink_records[record].rank; rank += ShrinkItem::kRanks) {
        arrays_.shrink_items.push_back({segment.row_begin + row, rows, static_cast<std::int32_t>(record), rank});
      }
    }
  }
}

void SiteLists::add_expand(const RecordView& record, std::int32_t z_begin, Site& site) {
  check(record.b.empty() || record.b.dtype == DType::bf16, "expected matrices in the backend's format");
  const std::int32_t piece_begin = add_pieces(record.b);
  arrays_.expand_records.push_back({.piece_begin = piece_begin,
                                    .piece_count = record.b.tile_count,
                                    .rank = record.b.empty() ? 0 : record.rank,
                                    .z_begin = z_begin,
                                    .slice_begin = record.slice_begin,
                                    .out = record.out,
                                    .scale = record.scale,
                                    .bias = record.bias,
                                    .replaces_bias = record.bias != nullptr && record.bias_mode == BiasMode::replace ? 1 : 0});
  // Rows of whole 16 bytes have outputs in fours.
  if (!has_aligned_rows(record.b) || record.slice_begin % 4 != 0) site.expand_alignment = MatrixAlignment::any;
}

std::int32_t SiteLists::add_pieces(const TiledMatrix& matrix) {
  const auto begin = static_cast<std::int32_t>(arrays_.pieces.size());
  for (const Tile& tile : matrix) {
    arrays_.pieces.push_back(
        {reinterpret_cast<const Bfloat16*>(tile.data), tile.row_begin, tile.row_count, tile.col_begin, tile.col_count});
  }
  return begin;
}

}  // namespace slora::cuda
