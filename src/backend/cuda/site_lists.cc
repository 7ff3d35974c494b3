#include "backend/cuda/site_lists.h"

#include <algorithm>

#include "base/check.h"

namespace slora::cuda {

void SiteLists::clear() {
  arrays_.shrink_items.clear();
  arrays_.expand_uses.clear();
  arrays_.expand_items.clear();
}

void SiteLists::reserve(std::size_t shrink_items, std::size_t expand_items) {
  arrays_.shrink_items.reserve(shrink_items);
  arrays_.expand_uses.reserve(expand_items);
  arrays_.expand_items.reserve(expand_items);
}

SiteLists::Parts SiteLists::add(const AdapterBatch& adapters, std::size_t kind, AdapterTables& tables) {
  check(adapters.z_shard_cols == 0, "expected a model of one shard");
  Parts added{{arrays_.shrink_items.size(), 0}, {arrays_.expand_items.size(), 0}};
  uses_.clear();
  for (const AdapterSegment& segment : adapters.segments.host) {
    ExpandUse& use = uses_.emplace_back(ExpandUse{{}, segment.z_begin, segment.weight});
    if (segment.row_count == 0) continue;  // padding
    const AdapterTable& table = tables.find_or_make(*segment.adapter);
    check(kind < table.kinds.size(), "expected adapters with as many experts as the model");
    if (table.kinds[kind].expands) use.table = table.kinds[kind].table;
    add_shrink(segment, table.kinds[kind]);
  }
  for (const AdapterRun& run : adapters.runs.host) add_expand(adapters, run);
  added.shrink_items.count = arrays_.shrink_items.size() - added.shrink_items.begin;
  added.expand_items.count = arrays_.expand_items.size() - added.expand_items.begin;
  return added;
}

// Neighbours run at the same time: those that read the same rows of x, which are more bytes than the matrices.
void SiteLists::add_shrink(const AdapterSegment& segment, const AdapterTable::Kind& kind) {
  for (std::int32_t row = 0; row < segment.row_count; row += ShrinkItem::kRowsMax) {
    const std::int32_t rows = std::min(ShrinkItem::kRowsMax, segment.row_count - row);
    for (std::size_t record = 0; record < kind.shrink_ranks.size(); ++record) {
      const LoraTable table{kind.table.records + record, kind.table.per_layer};
      for (std::int32_t rank = 0; rank < kind.shrink_ranks[record]; rank += ShrinkItem::kRanks) {
        arrays_.shrink_items.push_back({table, segment.row_begin + row, rows, rank, segment.z_begin});
      }
    }
  }
}

// A run's rows add up what all its segments' records give: each row is in one item.
void SiteLists::add_expand(const AdapterBatch& adapters, const AdapterRun& run) {
  if (run.row_count == 0) return;  // padding
  const auto use_begin = static_cast<std::int32_t>(arrays_.expand_uses.size());
  for (std::int32_t i = run.segment_begin; i < run.segment_begin + run.segment_count; ++i) {
    const auto segment = static_cast<std::size_t>(adapters.run_segments.host[static_cast<std::size_t>(i)]);
    if (uses_[segment].table.per_layer > 0) arrays_.expand_uses.push_back(uses_[segment]);
  }
  const auto use_count = static_cast<std::int32_t>(arrays_.expand_uses.size()) - use_begin;
  if (use_count == 0) return;
  for (std::int32_t row = 0; row < run.row_count; row += ExpandItem::kRowsMax) {
    const std::int32_t rows = std::min(ExpandItem::kRowsMax, run.row_count - row);
    arrays_.expand_items.push_back({run.row_begin + row, rows, use_begin, use_count});
  }
}

}  // namespace slora::cuda
