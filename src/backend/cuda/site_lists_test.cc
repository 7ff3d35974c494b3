#include "backend/cuda/site_lists.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <compare>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <tuple>
#include <vector>

#include "backend/adapter_runs.h"
#include "backend/cuda/testing/emulated_device.h"

namespace slora::cuda {
namespace {

constexpr std::int32_t kLayers = 3;
constexpr SiteKind kKind = SiteKind::qkv;
constexpr auto kKindIndex = static_cast<std::size_t>(kKind);
constexpr std::int32_t kIn = 64;

// Adapters and segments of which only the shapes count: no matrix is read.
class DrawnBatch {
 public:
  explicit DrawnBatch(std::uint64_t seed) : random_(seed) {
    for (std::int32_t i = draw(1, 4); i > 0; --i) add_adapter();
    std::int32_t row = draw(0, 3);
    for (std::int32_t i = draw(0, 6); i > 0; --i) {
      const std::int32_t rows = draw(0, 3) == 0 ? draw(60, 140) : draw(0, 20);
      for (std::int32_t z_begin = 0, layers = draw(1, 2); layers > 0; --layers, z_begin += 200) {
        const auto& view = views_[static_cast<std::size_t>(draw(0, static_cast<std::int32_t>(views_.size()) - 1))];
        segments_.push_back({row, rows, z_begin, 0.25f * static_cast<float>(draw(1, 4)), view.get()});
      }
      row += rows + draw(0, 2);
    }
    if (draw(0, 1) == 0 && segments_.size() > 1) std::ranges::shuffle(segments_, random_);
    runs_.cut(segments_);
    batch_ = {.segments = segments_, .z_cols = 400, .runs = runs_.runs(), .run_segments = runs_.segments()};
  }

  [[nodiscard]] const AdapterBatch& batch() const { return batch_; }

 private:
  std::int32_t draw(std::int32_t min, std::int32_t max) { return std::uniform_int_distribution(min, max)(random_); }
  TiledMatrix draw_matrix(AdapterView& view, std::int32_t rows, std::int32_t cols) {
    const auto first = view.tiles.size();
    for (std::int32_t row = 0; row < rows;) {
      const std::int32_t count = draw(1, rows - row);
      next_ += 4096;
      view.tiles.push_back({reinterpret_cast<const std::byte*>(next_), row, count, 0, cols});
      row += count;
    }
    return {view.tiles.data() + first, static_cast<std::int32_t>(view.tiles.size() - first), rows, cols, DType::bf16};
  }
  void add_records(AdapterView& view, AdapterView::Range& range) {
    range.begin = static_cast<std::int32_t>(view.records.size());
    for (std::int32_t i = draw(0, 3), z_begin = 0; i > 0; --i) {
      RecordView record;
      record.slice_begin = 8 * draw(0, 3);
      record.out = draw(1, 40);
      record.in = kIn;
      record.rank = draw(0, 40);
      record.z_begin = z_begin;
      record.scale = 0.5f;
      if (record.rank > 0) record.a = draw_matrix(view, record.rank, kIn);
      if (record.rank > 0 && draw(0, 4) > 0) record.b = draw_matrix(view, (record.rank + 1) / 2, 2 * record.out);
      if (draw(0, 1) == 0) record.bias = reinterpret_cast<const float*>(next_ += 4096);
      if (draw(0, 1) == 0) record.bias_mode = BiasMode::replace;
      if (draw(0, 3) == 0) record.input_gain = reinterpret_cast<const float*>(next_ += 4096);
      if (draw(0, 3) == 0 && !record.b.empty()) record.low_rank = LowRank::hadamard;
      z_begin += record.rank;
      view.records.push_back(record);
      ++range.count;
    }
  }
  void add_adapter() {
    auto view = std::make_unique<AdapterView>();
    view->tiles.reserve(1200);
    view->sites.resize(site_count(kLayers));
    for (std::int32_t layer = 0; layer < kLayers; ++layer) add_records(*view, view->sites[index_of({layer, kKind})]);
    views_.push_back(std::move(view));
  }

  std::mt19937_64 random_;
  std::uintptr_t next_ = 4096;
  std::vector<std::unique_ptr<AdapterView>> views_;
  std::vector<AdapterSegment> segments_;
  AdapterRuns runs_;
  AdapterBatch batch_;
};

// What is done for one row: which matrix or bias, which columns of z, with which weight.
struct Done {
  const void* place;
  std::int32_t z;
  float weight;
  auto operator<=>(const Done&) const = default;
};
using DoneCounts = std::map<std::pair<std::int32_t, Done>, std::int32_t>;  // by row

// Lists of one kind of site after another, with tables at an emulated device.
class ListReader {
 public:
  ListReader() : tables_(device_), stream_(device_.make_stream(StreamPriority::normal).value()) {}
  ~ListReader() { EXPECT_TRUE(device_.destroy(stream_)); }
  ListReader(const ListReader&) = delete;
  ListReader& operator=(const ListReader&) = delete;

  [[nodiscard]] SiteLists::Parts add(SiteLists& lists, const AdapterBatch& batch, SiteKind kind) {
    const SiteLists::Parts parts = lists.add(batch, static_cast<std::size_t>(kind), tables_);
    for (const PieceCopy& copy : tables_.copies()) EXPECT_TRUE(device_.upload(stream_, copy.to, copy.from, copy.bytes));
    tables_.clear_copies();
    EXPECT_TRUE(device_.synchronise(stream_));
    ++step_;
    tables_.begin_step(step_, step_);
    return parts;
  }
  template <class T>
  [[nodiscard]] T read(const T* from) {
    T value;
    device_.read(&value, from, sizeof(T));
    return value;
  }
  // Where the first row lies.
  [[nodiscard]] const void* place_of(const Bfloat16* whole, const MatrixPiece* pieces) {
    return whole != nullptr ? whole : read(pieces).data;
  }

 private:
  EmulatedDevice device_{{}};
  AdapterTables tables_;
  Stream stream_;
  std::uint64_t step_ = 0;
};

TEST(SiteLists, ShrinkComputesEveryRankOfEveryRowOnceInEveryLayer) {
  ListReader reader;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const DrawnBatch drawn(seed);
    SiteLists lists;
    const SiteLists::Parts down = reader.add(lists, drawn.batch(), SiteKind::down);
    ASSERT_EQ(down.shrink_items.count + down.expand_items.count, 0u);
    const SiteLists::Parts parts = reader.add(lists, drawn.batch(), kKind);
    for (std::int32_t layer = 0; layer < kLayers; ++layer) {
      DoneCounts found, expected;
      for (std::size_t i = parts.shrink_items.begin; i < parts.shrink_items.begin + parts.shrink_items.count; ++i) {
        const ShrinkItem& item = lists.arrays().shrink_items[i];
        ASSERT_TRUE(item.row_count >= 1 && item.row_count <= ShrinkItem::kRowsMax) << "seed " << seed;
        const LoraRecord record = reader.read(item.table.records + layer * item.table.per_layer);
        if (item.rank_begin >= record.shrink_rank) continue;
        const void* const place = reader.place_of(record.a, record.a_pieces);
        for (std::int32_t row = item.row_begin; row < item.row_begin + item.row_count; ++row) {
          for (std::int32_t rank = item.rank_begin; rank < std::min<std::int32_t>(item.rank_begin + ShrinkItem::kRanks, record.shrink_rank);
               ++rank) {
            ++found[{row, {place, item.z_begin + record.z_begin + rank, 1}}];
          }
        }
      }
      std::vector<AppliedRecord> records;
      drawn.batch().find_records(records, {layer, kKind}, RecordUse::shrink);
      for (const AppliedRecord& applied : records) {
        for (std::int32_t row = applied.row_begin; row < applied.row_begin + applied.row_count; ++row) {
          for (std::int32_t rank = 0; rank < applied.record->rank; ++rank) {
            ++expected[{row, {applied.record->a.tiles->data, applied.z_begin + rank, 1}}];
          }
        }
      }
      ASSERT_EQ(found, expected) << "seed " << seed << ", layer " << layer;
    }
  }
}

TEST(SiteLists, ExpandAddsEveryRecordToEveryRowOnceInEveryLayerAndNoRowIsInTwoItems) {
  ListReader reader;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const DrawnBatch drawn(seed);
    SiteLists lists;
    const SiteLists::Parts parts = reader.add(lists, drawn.batch(), kKind);
    for (std::int32_t layer = 0; layer < kLayers; ++layer) {
      DoneCounts found, expected;
      std::map<std::int32_t, std::int32_t> items_of_row;
      const SiteLists::Arrays& arrays = lists.arrays();
      for (std::size_t i = parts.expand_items.begin; i < parts.expand_items.begin + parts.expand_items.count; ++i) {
        const ExpandItem& item = arrays.expand_items[i];
        ASSERT_TRUE(item.row_count >= 1 && item.row_count <= ExpandItem::kRowsMax) << "seed " << seed;
        for (std::int32_t row = item.row_begin; row < item.row_begin + item.row_count; ++row) {
          ASSERT_EQ(++items_of_row[row], 1) << "seed " << seed;
          for (std::int32_t k = item.use_begin; k < item.use_begin + item.use_count; ++k) {
            const ExpandUse& use = arrays.expand_uses[static_cast<std::size_t>(k)];
            for (std::int32_t r = 0; r < use.table.per_layer; ++r) {
              const LoraRecord record = reader.read(use.table.records + layer * use.table.per_layer + r);
              if (record.out == 0) continue;
              const void* const place = record.expand_rank > 0 ? reader.place_of(record.b, record.b_pieces) : record.bias;
              ++found[{row, {place, use.z_begin + record.z_begin, use.weight}}];
            }
          }
        }
      }
      std::vector<AppliedRecord> records;
      drawn.batch().find_records(records, {layer, kKind}, RecordUse::expand);
      for (const AppliedRecord& applied : records) {
        for (std::int32_t row = applied.row_begin; row < applied.row_begin + applied.row_count; ++row) {
          const RecordView& record = *applied.record;
          const bool has_sum = !record.b.empty() && record.low_rank == LowRank::sum;
          if (!has_sum && record.bias == nullptr) continue;
          const void* const place = has_sum ? static_cast<const void*>(record.b.tiles->data) : record.bias;
          ++expected[{row, {place, applied.z_begin, applied.weight}}];
        }
      }
      ASSERT_EQ(found, expected) << "seed " << seed << ", layer " << layer;
    }
  }
}

// An input gain's item counts as rank -1.
TEST(SiteLists, EveryRowIsScaledOnceByEveryInputGainAndRankInEveryLayer) {
  ListReader reader;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const DrawnBatch drawn(seed);
    SiteLists lists;
    static_cast<void>(reader.add(lists, drawn.batch(), kKind));  // others before
    const SiteLists::Parts parts = reader.add(lists, drawn.batch(), kKind);
    const std::span<const ScaleItem> items =
        std::span(lists.arrays().scale_items).subspan(parts.scale_items.begin, parts.scale_items.count);
    for (std::int32_t layer = 0; layer < kLayers; ++layer) {
      DoneCounts found, expected;
      for (const ScaleItem& item : items) {
        const LoraRecord record = reader.read(item.table.records + layer * item.table.per_layer);
        const LoraGains gains = record.gains == nullptr ? LoraGains{} : reader.read(record.gains);
        ASSERT_LE(item.count, ScaleItem::kRanks) << "seed " << seed;
        if (item.rank_begin == ScaleItem::kInputGain) {
          if (gains.input_gain != nullptr) ++found[{item.row, {gains.input_gain, -1, 1}}];
          continue;
        }
        for (std::int32_t rank = item.rank_begin; rank < std::min(item.rank_begin + item.count, gains.hadamard_rank); ++rank) {
          ++found[{item.row, {reader.place_of(record.a, record.a_pieces), rank, item.weight}}];
        }
      }
      std::vector<AppliedRecord> records;
      drawn.batch().find_records(records, {layer, kKind}, RecordUse::expand);
      for (const AppliedRecord& applied : records) {
        const RecordView& record = *applied.record;
        for (std::int32_t row = applied.row_begin; row < applied.row_begin + applied.row_count; ++row) {
          if (record.input_gain != nullptr) ++expected[{row, {record.input_gain, -1, 1}}];
          for (std::int32_t rank = 0; rank < record.rank && record.low_rank == LowRank::hadamard; ++rank) {
            ++expected[{row, {record.a.tiles->data, rank, applied.weight}}];
          }
        }
      }
      ASSERT_EQ(found, expected) << "seed " << seed << ", layer " << layer;
    }
  }
}

// So that one work item finds all of a row, and what replaces y comes before what is added to it.
TEST(SiteLists, ScaledRowsOfARowFollowEachOtherWithItsInputGainsFirst) {
  ListReader reader;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const DrawnBatch drawn(seed);
    SiteLists lists;
    static_cast<void>(reader.add(lists, drawn.batch(), kKind));
    lists.clear();
    static_cast<void>(reader.add(lists, drawn.batch(), kKind));
    std::int32_t place = 0;
    std::vector<std::pair<std::int32_t, bool>> groups;  // row, whether by ranks
    for (const ScaleItem& item : lists.arrays().scale_items) {
      ASSERT_EQ(item.place, place) << "seed " << seed;
      place += item.count;
      const std::pair group(item.row, item.rank_begin != ScaleItem::kInputGain);
      if (groups.empty() || groups.back() != group) groups.push_back(group);
    }
    ASSERT_TRUE(std::ranges::is_sorted(groups) && std::ranges::adjacent_find(groups) == groups.end()) << "seed " << seed;
  }
}

// Those that read the same rows of x run at the same time.
TEST(SiteLists, ShrinkItemsOfTheSameRowsAreNeighbours) {
  ListReader reader;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const DrawnBatch drawn(seed);
    SiteLists lists;
    static_cast<void>(reader.add(lists, drawn.batch(), kKind));
    std::vector<std::tuple<std::int32_t, std::int32_t>> groups;  // rows, z columns of the segment
    for (const ShrinkItem& item : lists.arrays().shrink_items) {
      const std::tuple group(item.row_begin, item.z_begin);
      if (groups.empty() || groups.back() != group) groups.push_back(group);
    }
    std::ranges::sort(groups);
    EXPECT_EQ(std::ranges::adjacent_find(groups), groups.end()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace slora::cuda
