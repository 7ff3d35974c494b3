#include "backend/cuda/adapter_tables.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <set>
#include <tuple>
#include <vector>

#include "backend/cuda/testing/emulated_device.h"

namespace slora::cuda {
namespace {

// Of an adapter with one record.
struct OneRecord {
  Site site{1, SiteKind::o};
  std::int32_t layers = 2, rank = 4, in = 64, out = 12, slice_begin = 8;
  std::uintptr_t address = 4096;  // of both matrices
  std::int32_t tile_cols = 0;     // of A, and twice that of B; 0: all
  std::int32_t tile_rows = 1000;
  BiasMode bias_mode = BiasMode::add;
  const float* bias = nullptr;
  LowRank low_rank = LowRank::sum;
  const float* input_gain = nullptr;
  const float* rank_gain = nullptr;
  const float* delta_gain = nullptr;
  const float* gain = nullptr;
};
std::unique_ptr<AdapterView> make_view(const OneRecord& shape) {
  auto view = std::make_unique<AdapterView>();
  view->sites.resize(site_count(shape.layers));
  view->tiles.reserve(1000);
  const auto cut = [&](std::int32_t rows, std::int32_t cols, std::int32_t tile_cols) {
    const std::size_t first = view->tiles.size();
    for (std::int32_t row = 0; row < rows; row += shape.tile_rows) {
      for (std::int32_t col = 0; col < cols; col += tile_cols) {
        view->tiles.push_back({reinterpret_cast<const std::byte*>(shape.address + 1024 * (view->tiles.size() - first)), row,
                               std::min(shape.tile_rows, rows - row), col, std::min(tile_cols, cols - col)});
      }
    }
    return TiledMatrix{view->tiles.data() + first, static_cast<std::int32_t>(view->tiles.size() - first), rows, cols, DType::bf16};
  };
  AdapterView::Range& range = view->sites[index_of(shape.site)];
  range.count = 1;
  RecordView& record = view->records.emplace_back();
  record.slice_begin = shape.slice_begin;
  record.out = shape.out;
  record.in = shape.in;
  record.rank = shape.rank;
  record.z_begin = 3;
  record.scale = 0.25f;
  record.a = cut(shape.rank, shape.in, shape.tile_cols == 0 ? shape.in : shape.tile_cols);
  record.b = cut((shape.rank + 1) / 2, 2 * shape.out, shape.tile_cols == 0 ? 2 * shape.out : 2 * shape.tile_cols);
  record.bias = shape.bias;
  record.bias_mode = shape.bias_mode;
  record.low_rank = shape.low_rank;
  record.input_gain = shape.input_gain;
  record.rank_gain = shape.rank_gain;
  record.delta_gain = shape.delta_gain;
  record.gain = shape.gain;
  return view;
}

class TablesFixture : public ::testing::Test {
 protected:
  TablesFixture() : stream_(device_.make_stream(StreamPriority::normal).value()) {}
  ~TablesFixture() override { EXPECT_TRUE(device_.destroy(stream_)); }

  void bring() {
    for (const PieceCopy& copy : tables_.copies()) EXPECT_TRUE(device_.upload(stream_, copy.to, copy.from, copy.bytes));
    tables_.clear_copies();
    EXPECT_TRUE(device_.synchronise(stream_));
  }
  template <class T>
  [[nodiscard]] T read(const T* from) {
    T value;
    device_.read(&value, from, sizeof(T));
    return value;
  }
  // What the table of a new adapter says.
  [[nodiscard]] LoraRecord record_of(const OneRecord& shape) {
    const std::unique_ptr<AdapterView> view = make_view(shape);
    ++step_;
    tables_.begin_step(step_, step_);
    const LoraTable table = tables_.find_or_make(*view).kinds[static_cast<std::size_t>(shape.site.kind)].table;
    bring();
    EXPECT_EQ(table.per_layer, 1);
    return read(table.records + shape.site.layer);
  }

  EmulatedDevice device_{{}};
  AdapterTables tables_{device_};
  Stream stream_;
  std::uint64_t step_ = 0;
};

TEST_F(TablesFixture, SayWhatTheRecordsSay) {
  const float* const bias = reinterpret_cast<const float*>(std::uintptr_t{1} << 20);
  const LoraRecord plain = record_of({}), replacing = record_of({.bias_mode = BiasMode::replace, .bias = bias});
  const auto* const data = reinterpret_cast<const Bfloat16*>(std::uintptr_t{4096});
  EXPECT_EQ(std::tuple(plain.a, plain.b, plain.a_pieces, plain.b_pieces),
            std::tuple(data, data, static_cast<const MatrixPiece*>(nullptr), static_cast<const MatrixPiece*>(nullptr)));
  EXPECT_EQ(std::tuple(plain.z_begin, plain.slice_begin, plain.out, plain.scale), std::tuple(3, 8, 12, 0.25f));
  EXPECT_EQ(std::tuple(plain.shrink_rank, plain.expand_rank), std::tuple(4, 4));
  EXPECT_EQ(std::tuple(plain.bias, plain.replaces_bias), std::tuple(static_cast<const float*>(nullptr), 0));
  EXPECT_EQ(std::tuple(replacing.bias, replacing.replaces_bias), std::tuple(bias, 1));
  EXPECT_EQ(record_of({.bias = bias}).replaces_bias, 0);
}

// Also next to pieces, which lie behind the gains.
TEST_F(TablesFixture, HaveTheGainsOfRecordsThatHaveSome) {
  const auto number = [](std::uintptr_t i) { return reinterpret_cast<const float*>((std::uintptr_t{1} << 20) + 4 * i); };
  EXPECT_EQ(record_of({}).gains, nullptr);
  for (const std::int32_t tile_rows : {1000, 1}) {
    const LoraRecord all = record_of({.tile_rows = tile_rows, .rank_gain = number(1), .delta_gain = number(2), .gain = number(3)});
    ASSERT_NE(all.gains, nullptr);
    const LoraGains gains = read(all.gains);
    EXPECT_EQ(std::tuple(gains.rank_gain, gains.delta_gain, gains.gain), std::tuple(number(1), number(2), number(3)));
    EXPECT_EQ(std::tuple(all.out, all.shrink_rank, all.expand_rank), std::tuple(12, 4, 4));
    if (tile_rows == 1) {
      EXPECT_EQ(read(all.a_pieces + 3).row_begin, 3);
    }
    const LoraRecord one = record_of({.tile_rows = tile_rows, .rank_gain = number(1)});
    ASSERT_NE(one.gains, nullptr);
    EXPECT_EQ(read(one.gains).delta_gain, nullptr);
  }
  const LoraRecord alone = record_of({.rank = 0, .gain = number(3)});
  EXPECT_EQ(std::tuple(alone.out, alone.expand_rank), std::tuple(12, 0)) << "a gain of outputs is something to do";
}

// A and B that change the base's product are nothing for shrink and expand.
TEST_F(TablesFixture, TellWhatScalesRowsAndForgetItWithItsAdapter) {
  ASSERT_TRUE(tables_.reserve(256));  // for one
  const float* const gain = reinterpret_cast<const float*>(std::uintptr_t{1} << 20);
  const std::unique_ptr<AdapterView> scaling = make_view({.low_rank = LowRank::hadamard, .input_gain = gain}), plain = make_view({});
  for (std::uint64_t step = 1; step <= 4; ++step) {
    const bool scales = step % 2 == 1;
    tables_.begin_step(step, step);
    const AdapterTable::Kind& kind = tables_.find_or_make(scales ? *scaling : *plain).kinds[static_cast<std::size_t>(SiteKind::o)];
    bring();
    EXPECT_EQ(kind.scales, scales);
    EXPECT_EQ(std::tuple(kind.scaled.at(0).has_input_gain, kind.scaled.at(0).hadamard_rank), std::tuple(scales, scales ? 4 : 0));
    EXPECT_EQ(std::tuple(kind.expands, kind.shrink_ranks.at(0)), std::tuple(!scales, scales ? 0 : 4));
    const LoraRecord record = read(kind.table.records + 1);
    EXPECT_EQ(std::tuple(record.shrink_rank, record.expand_rank, record.out), scales ? std::tuple(0, 0, 0) : std::tuple(4, 4, 12));
    EXPECT_NE(record.b, nullptr);
    if (!scales) continue;
    const LoraGains gains = read(record.gains);
    EXPECT_EQ(std::tuple(gains.input_gain, gains.hadamard_rank, gains.out), std::tuple(gain, 4, 12));
  }
}

TEST_F(TablesFixture, HaveThePiecesOfMatricesThatPagesCut) {
  const OneRecord shape{.rank = 9, .tile_rows = 3};
  const LoraRecord record = record_of(shape);
  EXPECT_EQ(record.a, nullptr);
  EXPECT_EQ(record.b, nullptr);
  for (std::int32_t i = 0; i < 3; ++i) {
    const MatrixPiece piece = read(record.a_pieces + i);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(piece.data), shape.address + 1024u * static_cast<std::uintptr_t>(i));
    EXPECT_EQ(std::tuple(piece.row_begin, piece.row_count, piece.col_begin, piece.col_count), std::tuple(3 * i, 3, 0, 64));
  }
  const MatrixPiece last = read(record.b_pieces + 1);
  EXPECT_EQ(std::tuple(last.row_begin, last.row_count, last.col_begin, last.col_count), std::tuple(3, 2, 0, 24));
  EXPECT_EQ(record_of({.in = 128, .tile_cols = 64}).a, nullptr) << "one row in two blocks of columns";
}

TEST_F(TablesFixture, TellHowMatricesLieInMemory) {
  EXPECT_TRUE(record_of({}).is_a_wide);
  EXPECT_TRUE(record_of({}).is_b_wide);
  EXPECT_FALSE(record_of({.in = 60}).is_a_wide) << "rows of 120 bytes";
  EXPECT_FALSE(record_of({.slice_begin = 2}).is_b_wide) << "a slice that begins at the third output";
  EXPECT_FALSE(record_of({.out = 10}).is_b_wide) << "ten outputs";
  EXPECT_FALSE(record_of({.address = 4104}).is_a_wide);
  EXPECT_FALSE(record_of({.in = 128, .out = 128, .tile_cols = 64}).is_a_wide) << "blocks of columns";
  EXPECT_FALSE(record_of({.in = 128, .out = 128, .tile_cols = 64}).is_b_wide);
}

TEST_F(TablesFixture, AreMadeOnceAndAgainForAnotherImage) {
  const std::unique_ptr<AdapterView> view = make_view({}), again = make_view({});
  tables_.begin_step(1, 1);
  const LoraRecord* const first = tables_.find_or_make(*view).kinds[1].table.records;
  EXPECT_EQ(tables_.copies().size(), 1u);
  tables_.clear_copies();
  tables_.begin_step(2, 1);
  EXPECT_EQ(tables_.find_or_make(*view).kinds[1].table.records, first);
  EXPECT_TRUE(tables_.copies().empty());
  EXPECT_NE(tables_.find_or_make(*again).kinds[1].table.records, first) << "another view of the same adapter";
}

// Adapters come and go; every step's tables stay until it is done, and are what they were.
TEST_F(TablesFixture, OfStepsThatAreUnderWayAreNotReplaced) {
  ASSERT_TRUE(tables_.reserve(std::size_t{6} * 256));
  const std::size_t memory_before = device_.memory().value().free;
  std::vector<std::unique_ptr<AdapterView>> views;
  for (std::int32_t i = 0; i < 9; ++i) views.push_back(make_view({.slice_begin = 4 * i}));
  std::set<const LoraRecord*> before;
  for (std::uint64_t step = 1; step <= 60; ++step) {
    tables_.begin_step(step, step == 1 ? 1 : step - 1);
    std::set<const LoraRecord*> used;
    std::vector<std::pair<const LoraRecord*, std::int32_t>> expected;
    for (std::int32_t i = 0; i < 3; ++i) {
      const auto index = static_cast<std::int32_t>((step * (i == 0 ? 0 : 5) + static_cast<std::uint64_t>(2 * i)) % views.size());
      const auto made = tables_.copies().size();
      const LoraRecord* const records = tables_.find_or_make(*views[static_cast<std::size_t>(index)]).kinds[1].table.records;
      EXPECT_TRUE(tables_.copies().size() == made || !before.contains(records)) << "step " << step;
      used.insert(records);
      expected.emplace_back(records + 1, 4 * index);
    }
    bring();
    for (const auto& [record, slice_begin] : expected) EXPECT_EQ(read(record).slice_begin, slice_begin) << "step " << step;
    before = used;
  }
  EXPECT_EQ(device_.memory().value().free, memory_before) << "six tables' memory suffices for two steps of three";
}

// Of other sizes, in whatever order they come.
TEST_F(TablesFixture, NeverLieInOneAnothersMemory) {
  ASSERT_TRUE(tables_.reserve(16000));
  const std::size_t memory_before = device_.memory().value().free;
  std::vector<std::unique_ptr<AdapterView>> views;
  for (std::int32_t i = 0; i < 60; ++i)
    views.push_back(make_view({.layers = 2 + i % 9, .rank = 40, .slice_begin = 4 * i, .tile_rows = 1 + i}));
  std::mt19937_64 random(1);
  std::vector<std::pair<const LoraRecord*, std::int32_t>> before;
  for (std::uint64_t step = 1; step <= 300; ++step) {
    tables_.begin_step(step, step == 1 ? 1 : step - 1);
    std::vector<std::pair<const LoraRecord*, std::int32_t>> expected;
    for (std::int32_t i = 0; i < 4; ++i) {
      const AdapterView& view = *views[random() % views.size()];
      expected.emplace_back(tables_.find_or_make(view).kinds[1].table.records + 1, view.records.front().slice_begin);
    }
    bring();
    for (const auto& list : {before, expected}) {
      for (const auto& [record, slice_begin] : list) ASSERT_EQ(read(record).slice_begin, slice_begin) << "step " << step;
    }
    before = expected;
  }
  EXPECT_EQ(device_.memory().value().free, memory_before);
  EXPECT_TRUE(device_.take_faults().empty());
}

TEST_F(TablesFixture, GrowWhereAStepHasMoreOrLargerOnes) {
  ASSERT_TRUE(tables_.reserve(512));
  std::vector<std::unique_ptr<AdapterView>> views;
  for (std::int32_t i = 0; i < 40; ++i)
    views.push_back(make_view({.layers = 2 + i % 7, .rank = 40, .slice_begin = 4 * i, .tile_rows = 1 + i}));
  tables_.begin_step(1, 1);
  std::vector<const LoraRecord*> records;
  for (const auto& view : views) records.push_back(tables_.find_or_make(*view).kinds[1].table.records);
  bring();
  EXPECT_EQ(std::set(records.begin(), records.end()).size(), views.size());
  for (std::size_t i = 0; i < records.size(); ++i) EXPECT_EQ(read(records[i] + 1).slice_begin, static_cast<std::int32_t>(4 * i));
  EXPECT_TRUE(device_.take_faults().empty());
}

}  // namespace
}  // namespace slora::cuda
