#include "backend/cuda/site_lists.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <compare>
#include <map>
#include <memory>
#include <random>
#include <tuple>
#include <vector>

#include "backend/adapter_runs.h"

namespace slora::cuda {
namespace {

constexpr slora::Site kSite{1, SiteKind::qkv};
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
  void add_adapter() {
    auto view = std::make_unique<AdapterView>();
    view->tiles.reserve(400);
    view->sites.resize(site_count(3));
    AdapterView::Range& range = view->sites[index_of(kSite)];
    for (std::int32_t i = draw(0, 3), z_begin = 0; i > 0; --i) {
      RecordView record;
      record.slice_begin = 8 * draw(0, 3);
      record.out = draw(1, 40);
      record.in = kIn;
      record.rank = draw(0, 40);
      record.z_begin = z_begin;
      record.scale = 0.5f;
      if (record.rank > 0) record.a = draw_matrix(*view, record.rank, kIn);
      if (record.rank > 0 && draw(0, 4) > 0) record.b = draw_matrix(*view, (record.rank + 1) / 2, 2 * record.out);
      if (draw(0, 1) == 0) record.bias = reinterpret_cast<const float*>(next_ += 4096);
      if (draw(0, 1) == 0) record.bias_mode = BiasMode::replace;
      z_begin += record.rank;
      view->records.push_back(record);
      ++range.count;
    }
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

TEST(SiteLists, ShrinkComputesEveryRankOfEveryRowOnce) {
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    const DrawnBatch drawn(seed);
    SiteLists lists;
    static_cast<void>(lists.add(drawn.batch(), {0, SiteKind::down}));  // nothing
    const SiteLists::Site site = lists.add(drawn.batch(), kSite);
    DoneCounts found, expected;
    const SiteLists::Arrays& arrays = lists.arrays();
    for (std::size_t i = site.shrink_items.begin; i < site.shrink_items.begin + site.shrink_items.count; ++i) {
      const ShrinkItem& item = arrays.shrink_items[i];
      ASSERT_TRUE(item.row_count >= 1 && item.row_count <= ShrinkItem::kRowsMax) << "seed " << seed;
      const ShrinkRecord& record = arrays.shrink_records[static_cast<std::size_t>(item.record)];
      for (std::int32_t row = item.row_begin; row < item.row_begin + item.row_count; ++row) {
        for (std::int32_t rank = item.rank_begin; rank < std::min(item.rank_begin + ShrinkItem::kRanks, record.rank); ++rank) {
          ++found[{row, {arrays.pieces[static_cast<std::size_t>(record.piece_begin)].data, record.z_begin + rank, 1}}];
        }
      }
    }
    std::vector<AppliedRecord> records;
    drawn.batch().find_records(records, kSite, RecordUse::shrink);
    for (const AppliedRecord& applied : records) {
      for (std::int32_t row = applied.row_begin; row < applied.row_begin + applied.row_count; ++row) {
        for (std::int32_t rank = 0; rank < applied.record->rank; ++rank) {
          ++expected[{row, {applied.record->a.tiles->data, applied.z_begin + rank, 1}}];
        }
      }
    }
    ASSERT_EQ(found, expected) << "seed " << seed;
    ASSERT_EQ(site.shrink_items.count == 0, expected.empty());
  }
}

TEST(SiteLists, ExpandAddsEveryRecordToEveryRowOnceAndNoRowIsInTwoItems) {
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    const DrawnBatch drawn(seed);
    SiteLists lists;
    const SiteLists::Site site = lists.add(drawn.batch(), kSite);
    DoneCounts found, expected;
    std::map<std::int32_t, std::int32_t> items_of_row;
    const SiteLists::Arrays& arrays = lists.arrays();
    for (std::size_t i = site.expand_items.begin; i < site.expand_items.begin + site.expand_items.count; ++i) {
      const ExpandItem& item = arrays.expand_items[i];
      ASSERT_TRUE(item.row_count >= 1 && item.row_count <= ExpandItem::kRowsMax) << "seed " << seed;
      for (std::int32_t row = item.row_begin; row < item.row_begin + item.row_count; ++row) {
        ASSERT_EQ(++items_of_row[row], 1) << "seed " << seed;
        for (std::int32_t use = item.use_begin; use < item.use_begin + item.use_count; ++use) {
          const ExpandUse& used = arrays.expand_uses[static_cast<std::size_t>(use)];
          const ExpandRecord& record = arrays.expand_records[static_cast<std::size_t>(used.record)];
          const void* const place =
              record.rank > 0 ? static_cast<const void*>(arrays.pieces[static_cast<std::size_t>(record.piece_begin)].data) : record.bias;
          ++found[{row, {place, record.z_begin, used.weight}}];
        }
      }
    }
    std::vector<AppliedRecord> records;
    drawn.batch().find_records(records, kSite, RecordUse::expand);
    for (const AppliedRecord& applied : records) {
      for (std::int32_t row = applied.row_begin; row < applied.row_begin + applied.row_count; ++row) {
        const RecordView& record = *applied.record;
        const void* const place = record.b.empty() ? static_cast<const void*>(record.bias) : record.b.tiles->data;
        ++expected[{row, {place, applied.z_begin, applied.weight}}];
      }
    }
    ASSERT_EQ(found, expected) << "seed " << seed;
  }
}

TEST(SiteLists, KeepPiecesAndBiasesAsTheRecordsHaveThem) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    const DrawnBatch drawn(seed);
    SiteLists lists;
    static_cast<void>(lists.add(drawn.batch(), kSite));
    const SiteLists::Arrays& arrays = lists.arrays();
    std::vector<AppliedRecord> records;
    drawn.batch().find_records(records, kSite, RecordUse::expand);
    ASSERT_EQ(arrays.expand_records.size(), records.size());
    for (std::size_t i = 0; i < records.size(); ++i) {
      const RecordView& expected = *records[i].record;
      const ExpandRecord& record = arrays.expand_records[i];
      EXPECT_EQ(std::tuple(record.slice_begin, record.out, record.scale, record.bias),
                std::tuple(expected.slice_begin, expected.out, expected.scale, expected.bias));
      EXPECT_EQ(record.replaces_bias, expected.bias != nullptr && expected.bias_mode == BiasMode::replace ? 1 : 0);
      ASSERT_EQ(record.piece_count, expected.b.tile_count);
      for (std::int32_t tile = 0; tile < expected.b.tile_count; ++tile) {
        const MatrixPiece& piece = arrays.pieces[static_cast<std::size_t>(record.piece_begin + tile)];
        const Tile& of_record = expected.b.tiles[tile];
        EXPECT_EQ(reinterpret_cast<const std::byte*>(piece.data), of_record.data);
        EXPECT_EQ(std::tuple(piece.row_begin, piece.row_count, piece.col_begin, piece.col_count),
                  std::tuple(of_record.row_begin, of_record.row_count, of_record.col_begin, of_record.col_count));
      }
    }
  }
}

// One adapter with one record of these shapes.
SiteLists::Site site_of(std::int32_t slice_begin, std::int32_t out, std::int32_t in, std::uintptr_t address, std::int32_t tile_cols) {
  AdapterView view;
  view.sites.resize(site_count(3));
  view.sites[index_of(kSite)].count = 1;
  const auto* const data = reinterpret_cast<const std::byte*>(address);
  view.tiles = {{data, 0, 4, 0, tile_cols == 0 ? in : tile_cols}, {data, 0, 2, 0, tile_cols == 0 ? 2 * out : tile_cols}};
  RecordView& record = view.records.emplace_back();
  record.slice_begin = slice_begin;
  record.out = out;
  record.in = in;
  record.rank = 4;
  record.a = {view.tiles.data(), 1, 4, in, DType::bf16};
  record.b = {view.tiles.data() + 1, 1, 2, 2 * out, DType::bf16};
  const std::vector<AdapterSegment> segments = {{0, 1, 0, 1, &view}};
  AdapterRuns runs;
  runs.cut(segments);
  SiteLists lists;
  return lists.add({.segments = segments, .z_cols = 4, .runs = runs.runs(), .run_segments = runs.segments()}, kSite);
}

TEST(SiteLists, TellHowMatricesLieInMemory) {
  constexpr auto kAligned = MatrixAlignment::sixteen_bytes;
  EXPECT_EQ(site_of(8, 12, 64, 64, 0).shrink_alignment, kAligned);
  EXPECT_EQ(site_of(8, 12, 64, 64, 0).expand_alignment, kAligned);
  EXPECT_NE(site_of(8, 12, 60, 64, 0).shrink_alignment, kAligned) << "rows of 120 bytes";
  EXPECT_NE(site_of(2, 12, 64, 64, 0).expand_alignment, kAligned) << "a slice that begins at the third output";
  EXPECT_NE(site_of(8, 10, 64, 64, 0).expand_alignment, kAligned) << "ten outputs";
  EXPECT_NE(site_of(8, 12, 64, 72, 0).shrink_alignment, kAligned) << "an address";
  EXPECT_NE(site_of(8, 64, 128, 64, 64).shrink_alignment, kAligned) << "blocks of columns";
  EXPECT_NE(site_of(8, 64, 128, 64, 64).expand_alignment, kAligned);
}

}  // namespace
}  // namespace slora::cuda
