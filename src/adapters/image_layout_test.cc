#include "adapters/image_layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace slora {
namespace {

void add_part(AdapterRecord& record, PartKind kind, SourceSlice slice) {
  static std::uint32_t source = 0;  // parts of one source and slice would be stored once
  ++source;
  record.parts.push_back({.kind = kind, .source = {source}, .slice = slice, .stored = {}});
}

AdapterRecord low_rank(std::int32_t rank, std::int32_t in, std::int32_t out) {
  AdapterRecord record;
  record.in = in;
  record.out = out;
  record.rank = rank;
  add_part(record, PartKind::a, {0, rank, 0, in});
  add_part(record, PartKind::b, {0, out, 0, rank});
  return record;
}

AdapterRecord with_bias(AdapterRecord record) {
  add_part(record, PartKind::bias_added, {0, 1, 0, record.out});
  return record;
}

AdapterRecord only_bias(std::int32_t out) {
  AdapterRecord record;
  record.out = out;
  add_part(record, PartKind::bias_replacing, {0, 1, 0, out});
  return record;
}

bool has_bias(const AdapterRecord& record) {
  return record.find(PartKind::bias_added) != nullptr || record.find(PartKind::bias_replacing) != nullptr;
}

// Which bytes of the pages are taken, to detect overlaps.
class Coverage {
 public:
  explicit Coverage(const ImageLayout& layout) : layout_(layout), taken_(layout.page_count, std::vector<bool>(layout.page_bytes)) {}

  void take(ImagePlace place, std::size_t bytes) {
    ASSERT_LT(place.page, layout_.page_count);
    ASSERT_EQ(place.offset % 64, 0u);
    ASSERT_LE(place.offset + bytes, layout_.page_bytes);
    for (std::size_t i = place.offset; i < place.offset + bytes; ++i) {
      ASSERT_FALSE(taken_[place.page][i]) << "page " << place.page << " byte " << i << " is used twice";
      taken_[place.page][i] = true;
    }
    taken_bytes_ += bytes;
  }
  [[nodiscard]] std::size_t taken_bytes() const { return taken_bytes_; }

 private:
  const ImageLayout& layout_;
  std::vector<std::vector<bool>> taken_;  // [page_count][page_bytes]
  std::size_t taken_bytes_ = 0;
};

// Tiles in order, each starting where the one before ended, cover the matrix exactly.
void expect_covers(const ImageLayout& layout, const StoredMatrix& matrix, std::int32_t rows, std::int32_t cols, Coverage& coverage) {
  ASSERT_EQ(matrix.rows, rows);
  ASSERT_EQ(matrix.cols, cols);
  const std::size_t element_bytes = bytes_of(matrix.dtype);
  const bool split = cols * element_bytes > layout.page_bytes;
  std::int32_t row = 0, col = 0;
  for (std::int32_t i = 0; i < matrix.tile_count; ++i) {
    const ImageTile& tile = layout.tiles.at(static_cast<std::size_t>(matrix.tile_begin + i));
    ASSERT_EQ(tile.row_begin, row);
    ASSERT_EQ(tile.col_begin, col);
    ASSERT_GT(tile.row_count, 0);
    ASSERT_GT(tile.col_count, 0);
    if (!split) {
      ASSERT_EQ(tile.col_count, cols) << "a row was split that fits a page";
    }
    col += tile.col_count;
    if (col < cols) {
      ASSERT_EQ(tile.row_count, 1);
      ASSERT_EQ(tile.col_count % kColumnBlock, 0);
    } else {
      ASSERT_EQ(col, cols);
      row += tile.row_count;
      col = 0;
    }
    coverage.take(tile.place, static_cast<std::size_t>(tile.row_count) * static_cast<std::size_t>(tile.col_count) * element_bytes);
  }
  ASSERT_EQ(row, rows);
  ASSERT_EQ(col, 0);
}

// Checks everything the layout promises but how little it leaves unused.
void expect_sound(const ImageLayout& layout, const std::vector<AdapterRecord>& records) {
  Coverage coverage(layout);
  ASSERT_EQ(layout.records.size(), records.size());
  const std::int32_t interleave = layout.format.b_interleave;
  for (const AdapterRecord& record : layout.records) {
    for (const AdapterPart& part : record.parts) {
      if (part.kind == PartKind::a) {
        expect_covers(layout, part.stored, record.rank, record.in, coverage);
        ASSERT_EQ(part.stored.dtype, layout.format.dtype);
      } else if (part.kind == PartKind::b) {
        expect_covers(layout, part.stored, (record.rank + interleave - 1) / interleave, record.out * interleave, coverage);
        ASSERT_EQ(part.stored.dtype, layout.format.dtype);
      } else {
        ASSERT_EQ(part.stored.tile_count, 1) << "a vector is not split";
        ASSERT_EQ(part.stored.dtype, DType::f32);
        expect_covers(layout, part.stored, 1, record.out, coverage);
      }
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
  EXPECT_EQ(layout.used_bytes, coverage.taken_bytes());
}

// Bytes of the longest unit that is never split: a row that fits in a page, a column block, a bias.
std::size_t longest_whole_bytes(const std::vector<AdapterRecord>& records, const AdapterFormat& format, std::size_t page_bytes) {
  std::size_t longest = 0;
  for (const AdapterRecord& record : records) {
    for (const std::int32_t cols : {record.in, record.out * format.b_interleave}) {
      const std::size_t row_bytes = static_cast<std::size_t>(cols) * bytes_of(format.dtype);
      longest = std::max(longest, row_bytes <= page_bytes ? row_bytes : kColumnBlock * bytes_of(format.dtype));
    }
    if (has_bias(record)) longest = std::max(longest, static_cast<std::size_t>(record.out) * sizeof(float));
  }
  return longest;
}

TEST(ImageLayout, KeepsRowsOfSmallMatricesInOnePageAndOrder) {
  const std::vector<AdapterRecord> records = {low_rank(4, 64, 128), low_rank(2, 64, 32)};
  const ImageLayout layout = make_image_layout(records, {DType::f32, 1}, 4096).value();
  expect_sound(layout, records);
  // 4 x 64 and 4 x 128 floats fill 3 KiB, and 2 x 64 and 2 x 32 the rest but 256 bytes.
  EXPECT_EQ(layout.page_count, 1u);
  ASSERT_EQ(layout.tiles.size(), 4u);
  EXPECT_EQ(layout.tiles[1].place.offset, 1024u);
  EXPECT_EQ(layout.tiles[3].place.offset, 3584u);
}

TEST(ImageLayout, TurnsThePageRatherThanSplitARow) {
  const std::vector<AdapterRecord> records = {low_rank(3, 160, 64)};
  const ImageLayout layout = make_image_layout(records, {DType::f32, 1}, 1024).value();
  expect_sound(layout, records);
  ASSERT_EQ(layout.tiles.size(), 5u);
  for (std::uint32_t row = 0; row < 3; ++row) EXPECT_EQ(layout.tiles[row].place.page, row);
  EXPECT_EQ(layout.tiles[3].place.page, 2u);  // the last row of A left 384 bytes; B's rows take 256 each
  EXPECT_EQ(layout.tiles[3].row_count, 1);
  EXPECT_EQ(layout.tiles[4].place.page, 3u);
}

TEST(ImageLayout, CutsRowsLongerThanAPageIntoColumnBlocks) {
  const std::vector<AdapterRecord> records = {low_rank(2, 1000, 70)};
  const ImageLayout layout = make_image_layout(records, {DType::bf16, 2}, 1024).value();
  expect_sound(layout, records);
  EXPECT_GE(layout.records[0].find(PartKind::a)->stored.tile_count, 4);
}

TEST(ImageLayout, InterleavesRanksOfBAndRoundsTheLastPairUp) {
  const std::vector<AdapterRecord> records = {low_rank(5, 32, 48)};
  const ImageLayout layout = make_image_layout(records, {DType::bf16, 2}, 4096).value();
  expect_sound(layout, records);
  EXPECT_EQ(layout.records[0].find(PartKind::b)->stored.rows, 3);
  EXPECT_EQ(layout.records[0].find(PartKind::b)->stored.cols, 96);
}

TEST(ImageLayout, StoresBothBiasesOfAModuleAsOne) {
  AdapterRecord both = with_bias(low_rank(2, 64, 32));
  add_part(both, PartKind::bias_replacing, {0, 1, 0, 32});
  const ImageLayout layout = make_image_layout({both}, {DType::bf16, 2}, 4096).value();
  EXPECT_EQ(layout.tiles.size(), 3u);
  EXPECT_EQ(layout.records[0].find(PartKind::bias_added)->stored.tile_begin,
            layout.records[0].find(PartKind::bias_replacing)->stored.tile_begin);
}

TEST(ImageLayout, TakesTheSizesOfSlices) {
  AdapterRecord shard = with_bias(low_rank(8, 64, 128));
  shard.parts[0].slice = {2, 2, 0, 64};   // ranks 2 and 3 of A
  shard.parts[1].slice = {32, 32, 0, 8};  // outputs 32 to 63 of B, of all ranks
  shard.parts[2].slice = {0, 1, 32, 32};
  const ImageLayout layout = make_image_layout({shard}, {DType::bf16, 2}, 4096).value();
  const std::vector<AdapterPart>& parts = layout.records[0].parts;
  EXPECT_EQ(parts[0].stored.rows, 2);
  EXPECT_EQ(parts[0].stored.cols, 64);
  EXPECT_EQ(parts[1].stored.rows, 4);
  EXPECT_EQ(parts[1].stored.cols, 64);
  EXPECT_EQ(parts[2].stored.cols, 32);
  EXPECT_EQ(layout.used_bytes, 2u * (2 * 64 + 8 * 32) + 4u * 32);
}

TEST(ImageLayout, TakesNothingForAnEmptySlice) {
  AdapterRecord shard = low_rank(1, 64, 128);
  shard.parts[0].slice = {1, 0, 0, 64};  // a shard beyond the rank
  const ImageLayout layout = make_image_layout({shard}, {DType::bf16, 2}, 4096).value();
  EXPECT_EQ(layout.records[0].parts[0].stored.tile_count, 0);
  EXPECT_EQ(layout.used_bytes, 2u * 2 * 128);
}

TEST(ImageLayout, RefusesABiasThatNoPageHolds) {
  const auto layout = make_image_layout({with_bias(low_rank(1, 64, 300))}, {DType::bf16, 2}, 1024);
  ASSERT_FALSE(layout);
  EXPECT_EQ(layout.error().code, "E_TOO_LARGE");
  EXPECT_NE(layout.error().message.find("1024"), std::string::npos);
}

TEST(ImageLayout, CoversEveryMatrixOnceAndWastesLittleWhateverTheSizes) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    const auto draw = [&](int from, int to) { return std::uniform_int_distribution<int>(from, to)(random); };
    const AdapterFormat format = draw(0, 1) == 0 ? AdapterFormat{DType::f32, 1} : AdapterFormat{DType::bf16, 2};
    const bool whole_lines = draw(0, 1) == 0;  // sizes as in real models: every row is a whole number of cache lines
    const std::size_t page_bytes = 1024u << draw(0, 6);
    std::vector<AdapterRecord> records;
    const int count = draw(1, 20);
    for (int i = 0; i < count; ++i) {
      const int unit = whole_lines ? 32 : 1;
      AdapterRecord record = low_rank(draw(1, 20), unit * draw(1, 2000 / unit), unit * draw(1, 2000 / unit));
      if (draw(0, 3) == 0 && static_cast<std::size_t>(record.out) * sizeof(float) <= page_bytes) record = with_bias(record);
      if (draw(0, 9) == 0 && has_bias(record)) record = only_bias(record.out);
      records.push_back(record);
    }
    const ImageLayout layout = make_image_layout(records, format, page_bytes).value();
    expect_sound(layout, records);
    if (HasFatalFailure()) return;
    const std::size_t waste = layout.page_count * page_bytes - layout.used_bytes;
    const std::size_t padding = whole_lines ? 0 : 63 * layout.tiles.size();
    EXPECT_LE(waste, page_bytes + layout.page_count * (longest_whole_bytes(records, format, page_bytes) - 1) + padding);
  }
}

AdapterRecord sparse(std::int32_t in, std::int32_t out, std::int32_t element_count) {
  AdapterRecord record;
  record.in = in;
  record.out = out;
  add_part(record, PartKind::row_counts, {0, 1, 0, out});
  add_part(record, PartKind::columns, {0, 1, 0, element_count});
  add_part(record, PartKind::values, {0, 1, 0, element_count});
  return record;
}

TEST(ImageLayout, CutsTheElementsOfSparseMatricesWherePagesEnd) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const ImageLayout layout = make_image_layout({sparse(70'000, 10, 1000), sparse(300, 10, 777)}, {dtype, 1}, 1024).value();
    Coverage coverage(layout);
    std::size_t bytes = 0;
    for (const AdapterRecord& record : layout.records) {
      EXPECT_EQ(record.find(PartKind::columns)->stored.dtype, record.in > 65'536 ? DType::i32 : DType::u16);
      EXPECT_EQ(record.find(PartKind::values)->stored.dtype, dtype);
      for (const AdapterPart& part : record.parts) {
        const StoredMatrix& stored = part.stored;
        ASSERT_EQ(stored.rows, 1);
        ASSERT_EQ(stored.cols, part.slice.col_count);
        std::int32_t col = 0;
        for (std::int32_t i = 0; i < stored.tile_count; ++i) {
          const ImageTile& tile = layout.tiles.at(static_cast<std::size_t>(stored.tile_begin + i));
          ASSERT_EQ(tile.col_begin, col);
          ASSERT_EQ(tile.row_count, 1);
          col += tile.col_count;
          coverage.take(tile.place, static_cast<std::size_t>(tile.col_count) * bytes_of(stored.dtype));
        }
        EXPECT_EQ(col, stored.cols);
        bytes += static_cast<std::size_t>(stored.cols) * bytes_of(stored.dtype);
      }
    }
    EXPECT_EQ(layout.used_bytes, bytes);
    EXPECT_LE(layout.page_count, bytes / 1024 + 2) << "little of the pages is unused";
  }
}

TEST(ImageLayout, HasNoTilesOfASparseMatrixWithoutElements) {
  const ImageLayout layout = make_image_layout({sparse(48, 10, 0)}, {DType::bf16, 2}, 1024).value();
  EXPECT_EQ(layout.records[0].find(PartKind::columns)->stored.tile_count, 0);
  EXPECT_EQ(layout.records[0].find(PartKind::values)->stored.tile_count, 0);
  EXPECT_EQ(layout.records[0].find(PartKind::row_counts)->stored.tile_count, 1);
}

}  // namespace
}  // namespace slora
