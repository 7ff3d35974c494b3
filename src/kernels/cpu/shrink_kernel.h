#pragma once
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

namespace slora::cpu {

// Dot products along `in`: sixteen partial sums per element, taken 32 columns at a time, added up at the end. Tiles that cut
// long rows do so at multiples of 64 columns, and the partial sums go on from one to the next.
template <class Isa>
class ShrinkKernel {
 public:
  static void run(const ShrinkCall& call) {
    for (std::int64_t row = 0; row < call.row_count; row += kRows) {
      for (std::int64_t rank = 0; rank < call.rank_count; rank += kRanks) {
        block(call, call.row_begin + row, least(kRows, call.row_count - row), call.rank_begin + rank,
              least(kRanks, call.rank_count - rank));
      }
    }
  }

 private:
  static constexpr std::int64_t kRanks = 4;
  static constexpr std::int64_t kRows = 4;
  static constexpr std::int64_t kStep = 2 * kLanes;  // columns

  struct Sums {
    Floats at[kRanks][kRows];
  };

  // Rows [row, row + rows) times rank rows [rank, rank + ranks). A rank row lies in one tile, or in several that cut it.
  static void block(const ShrinkCall& call, std::int64_t row, std::int64_t rows, std::int64_t rank, std::int64_t ranks) {
    for (std::int64_t begin = rank; begin < rank + ranks;) {
      const TiledMatrix& a = call.applied->record->a;
      std::int64_t end = rank + ranks;
      for (const Tile& tile : a) {
        const std::int64_t tile_end = tile.row_begin + tile.row_count;
        if (begin >= tile.row_begin && begin < tile_end && end > tile_end) end = tile_end;
      }
      Sums sums = {};
      for (const Tile& tile : a) {
        if (begin < tile.row_begin || begin >= tile.row_begin + tile.row_count) continue;
        const auto* rows_of_a =
            reinterpret_cast<const Bfloat16*>(tile.data) + static_cast<std::int64_t>(begin - tile.row_begin) * tile.col_count;
        const Bfloat16* x = call.x.row<const Bfloat16>(row) + tile.col_begin;
        accumulate(sums, rows_of_a, end - begin, x, call.x.row_stride, rows, tile.col_count);
      }
      for (std::int64_t j = 0; j < end - begin; ++j) {
        for (std::int64_t t = 0; t < rows; ++t) call.z.row<float>(row + t)[call.applied->z_begin + begin + j] = Isa::sum(sums.at[j][t]);
      }
      begin = end;
    }
  }

  static void accumulate(Sums& sums, const Bfloat16* a, std::int64_t ranks, const Bfloat16* x, std::int64_t x_stride, std::int64_t rows,
                         std::int64_t cols) {
    if (ranks == kRanks) {
      switch (rows) {
        case 4:
          return accumulate_all<4, 4>(sums, a, x, x_stride, cols);
        case 3:
          return accumulate_all<4, 3>(sums, a, x, x_stride, cols);
        case 2:
          return accumulate_all<4, 2>(sums, a, x, x_stride, cols);
        default:
          return accumulate_all<4, 1>(sums, a, x, x_stride, cols);
      }
    }
    for (std::int64_t j = 0; j < ranks; ++j) {
      for (std::int64_t t = 0; t < rows; ++t) {
        Sums one;
        one.at[0][0] = sums.at[j][t];
        accumulate_all<1, 1>(one, a + j * cols, x + t * x_stride, x_stride, cols);
        sums.at[j][t] = one.at[0][0];
      }
    }
  }

  template <int kJ, int kT>
  static void accumulate_all(Sums& total, const Bfloat16* a, const Bfloat16* x, std::int64_t x_stride, std::int64_t cols) {
    Floats sums[kJ][kT];
    for (int j = 0; j < kJ; ++j) {
      for (int t = 0; t < kT; ++t) sums[j][t] = total.at[j][t];
    }
    const auto step = [&](std::int64_t col, auto read) {
      Words inputs[kT];
#pragma GCC unroll 4
      for (int t = 0; t < kT; ++t) inputs[t] = read(x + t * x_stride + col);
#pragma GCC unroll 4
      for (int j = 0; j < kJ; ++j) {
        const Words weights = read(a + j * cols + col);
#pragma GCC unroll 4
        for (int t = 0; t < kT; ++t) sums[j][t] = Isa::dot(sums[j][t], weights, inputs[t]);
      }
    };
    std::int64_t col = 0;
    for (; col + kStep <= cols; col += kStep) step(col, [](const Bfloat16* from) { return load_words(from); });
    if (col < cols) {
      step(col, [&](const Bfloat16* from) { return load_words_head(from, (cols - col) * static_cast<std::int64_t>(sizeof(Bfloat16))); });
    }
    for (int j = 0; j < kJ; ++j) {
      for (int t = 0; t < kT; ++t) total.at[j][t] = sums[j][t];
    }
  }
};

}  // namespace slora::cpu
