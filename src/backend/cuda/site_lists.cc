#include "backend/cuda/site_lists.h"

#include <algorithm>

#include "base/check.h"

namespace slora::cuda {
namespace {

// Calls visit(index) for the segments of a run.
template <class Visit>
void for_each_segment(const AdapterBatch& adapters, const AdapterRun& run, const Visit& visit) {
  for (std::int32_t i = run.segment_begin; i < run.segment_begin + run.segment_count; ++i) {
    visit(static_cast<std::size_t>(adapters.run_segments.host[static_cast<std::size_t>(i)]));
  }
}

}  // namespace

void SiteLists::clear() {
  arrays_.shrink_items.clear();
  arrays_.expand_uses.clear();
  arrays_.expand_items.clear();
  arrays_.scale_items.clear();
  scaled_count_ = 0;
}

void SiteLists::reserve(std::size_t shrink_items, std::size_t expand_items) {
  arrays_.shrink_items.reserve(shrink_items);
  arrays_.expand_uses.reserve(expand_items);
  arrays_.expand_items.reserve(expand_items);
}

SiteLists::Parts SiteLists::add(const AdapterBatch& adapters, std::size_t kind, AdapterTables& tables) {
  check(adapters.z_shard_cols == 0, "expected a model of one shard");
  Parts added{{arrays_.shrink_items.size(), 0}, {arrays_.expand_items.size(), 0}, {arrays_.scale_items.size(), 0}};
  uses_.clear();
  bool scales = false;
  for (const AdapterSegment& segment : adapters.segments.host) {
    ExpandUse& use = uses_.emplace_back(ExpandUse{{}, segment.z_begin, segment.weight});
    if (segment.row_count == 0) continue;  // padding
    const AdapterTable& table = tables.find_or_make(*segment.adapter);
    check(kind < table.kinds.size(), "expected a kind of sites");
    if (table.kinds[kind].expands) use.table = table.kinds[kind].table;
    add_shrink(segment, table.kinds[kind]);
    scales = scales || table.kinds[kind].scales;
  }
  for (const AdapterRun& run : adapters.runs.host) {
    add_expand(adapters, run);
    if (scales) add_scaled(adapters, run, kind, tables);
  }
  added.shrink_items.count = arrays_.shrink_items.size() - added.shrink_items.begin;
  added.expand_items.count = arrays_.expand_items.size() - added.expand_items.begin;
  added.scale_items.count = arrays_.scale_items.size() - added.scale_items.begin;
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
  for_each_segment(adapters, run, [&](std::size_t segment) {
    if (uses_[segment].table.per_layer > 0) arrays_.expand_uses.push_back(uses_[segment]);
  });
  const auto use_count = static_cast<std::int32_t>(arrays_.expand_uses.size()) - use_begin;
  if (use_count == 0) return;
  for (std::int32_t row = 0; row < run.row_count; row += ExpandItem::kRowsMax) {
    const std::int32_t rows = std::min(ExpandItem::kRowsMax, run.row_count - row);
    arrays_.expand_items.push_back({run.row_begin + row, rows, use_begin, use_count});
  }
}

// Input gains come first: what they give replaces what others add to.
void SiteLists::add_scaled(const AdapterBatch& adapters, const AdapterRun& run, std::size_t kind, AdapterTables& tables) {
  const auto for_each_record = [&](const auto& visit) {
    for_each_segment(adapters, run, [&](std::size_t index) {
      const AdapterSegment& segment = adapters.segments.host[index];
      const AdapterTable::Kind& made = tables.find_or_make(*segment.adapter).kinds[kind];
      for (std::size_t record = 0; record < made.scaled.size(); ++record) {
        visit(LoraTable{made.table.records + record, made.table.per_layer}, made.scaled[record], segment.weight);
      }
    });
  };
  using Scaled = AdapterTable::Kind::Scaled;
  for (std::int32_t row = run.row_begin; row < run.row_begin + run.row_count; ++row) {
    for_each_record([&](const LoraTable& table, const Scaled& scaled, float weight) {
      if (scaled.has_input_gain) add_scale_item({table, row, ScaleItem::kInputGain, 1, 0, weight});
    });
    for_each_record([&](const LoraTable& table, const Scaled& scaled, float weight) {
      for (std::int32_t rank = 0; rank < scaled.hadamard_rank; rank += ScaleItem::kRanks) {
        add_scale_item({table, row, rank, std::min(ScaleItem::kRanks, scaled.hadamard_rank - rank), 0, weight});
      }
    });
  }
}

void SiteLists::add_scale_item(ScaleItem item) {
  item.place = scaled_count_;
  scaled_count_ += item.count;
  arrays_.scale_items.push_back(item);
}

}  // namespace slora::cuda
