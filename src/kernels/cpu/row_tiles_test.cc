#include "kernels/cpu/row_tiles.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/cpu/kernels.h"

namespace slora::cpu {
namespace {

constexpr float kFactor = 1.5f;

// Rows of `dtype` with numbers of every kind of rounding, tiny ones among them.
Buffer make_rows(DType dtype, std::int64_t rows, std::int64_t cols) {
  Buffer memory(static_cast<std::size_t>(rows * cols) * sizeof(float));
  for (std::int64_t i = 0; i < rows * cols; ++i) {
    const float value = (static_cast<float>(i * 7919 % 9973) - 4000.3f) * (i % 5 == 0 ? 1e-39f : 1e-3f);
    if (dtype == DType::f32) {
      reinterpret_cast<float*>(memory.data())[i] = value;
    } else {
      reinterpret_cast<Bfloat16*>(memory.data())[i] = to_bfloat16(value);
    }
  }
  return memory;
}

std::uint32_t element(const RowTile& tile, std::int64_t row, std::int64_t col) {
  if (col >= tile.source.cols) return 0;
  if (tile.source.dtype == DType::bf16) return tile.source.row<const Bfloat16>(row)[col].bits;
  return to_bfloat16(tile.factor * tile.source.row<const float>(row)[col]).bits;
}

// The pair of bf16 that is packed as two or, widened, as four bytes for each element.
std::uint32_t pair_at(const RowTile& tile, std::int64_t pair, std::int64_t row) {
  const std::uint32_t* words = tile.pair(pair) + row;
  if (tile.pair_stride == tile.rows) return words[0];
  EXPECT_EQ((words[0] | words[tile.rows]) & 0xffffu, 0u) << "a bf16 in fp32 has zeros below";
  return words[0] >> 16 | words[tile.rows];
}

TEST(RowTiles, HoldPairsOfEveryRowForEveryShape) {
  ThreadPool pool(2);
  for (const Kernels* kernels : usable_kernels()) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      for (const std::int64_t rows : {1, 2, 3, 7, 13, 14, 15, 40}) {
        for (const std::int64_t cols : {1, 2, 16, 31, 33, 64, 127, 1000, 2051}) {
          const Buffer memory = make_rows(dtype, rows, cols);
          RowTiles tiles(*kernels);
          tiles.add({memory.data(), dtype, rows, cols, cols}, 0, kFactor);
          tiles.pack(pool);
          std::int64_t row_count = 0;
          for (std::size_t i = 0; i < tiles.count(); ++i) {
            const RowTile& tile = *tiles.tile(i);
            ASSERT_EQ(tile.row_begin, row_count);
            row_count += tile.rows;
            for (std::int64_t pair = 0; pair < (cols + 1) / 2; ++pair) {
              for (std::int64_t r = 0; r < tile.rows; ++r) {
                const std::uint32_t expected = element(tile, r, 2 * pair) | element(tile, r, 2 * pair + 1) << 16;
                ASSERT_EQ(pair_at(tile, pair, r), expected)
                    << kernels->name << ' ' << name_of(dtype) << " [" << rows << ", " << cols << "] row " << r << " pair " << pair;
              }
            }
          }
          EXPECT_EQ(row_count, rows);
        }
      }
    }
  }
}

}  // namespace
}  // namespace slora::cpu
