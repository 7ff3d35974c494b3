#pragma once
#include <array>
#include <utility>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/simd.h"

namespace slora::cpu {

// Dot products along `in`: sixteen partial sums per element, 32 columns per step, added up at the end in a fixed order. Tiles split long
// rows at multiples of 64 columns, and the partial sums continue from one tile to the next. So an element's bits depend only on its own row
// of x and row of A.
template <class Isa>
class ShrinkKernel {
 public:
  static void run(const ShrinkCall& call) {
    for (std::int64_t row = 0; row < call.row_count; row += kRows) {
      const std::int64_t rows = least(kRows, call.row_count - row);
      for (std::int64_t rank = 0; rank < call.rank_count;) {
        Block block{&call, call.row_begin + row, call.rank_begin + rank, nullptr};
        const std::int64_t ranks = ranks_of_block(rows, least(call.rank_count - rank, ranks_together(call, block.rank)));
        if (row == 0) block.prefetch = rank + ranks < call.rank_count ? end_of_ranks(call, block.rank + ranks - 1) : call.prefetch;
        block_of(rows, ranks)(block);
        rank += ranks;
      }
    }
  }

 private:
  static constexpr std::int64_t kSums =
      sizeof(typename Isa::TileFloats) == sizeof(Floats) ? kLanes : 4;  // elements whose partial sums stay in registers
  static constexpr std::int64_t kRows = kSums / 4;
  static constexpr std::int64_t kStep = 2 * kLanes;  // columns
  static constexpr std::int64_t kLine = 64;

  // Consecutive rows of x from `row` on, times consecutive rows of A from `rank` on that lie in one tile.
  struct Block {
    const ShrinkCall* call;
    std::int64_t row;
    std::int64_t rank;
    const std::byte* prefetch;  // what will be read next; or nullptr
  };
  using Function = void (*)(const Block&);

  static const TiledMatrix& a_of(const ShrinkCall& call) { return call.applied->record->a; }

  static bool holds(const Tile& tile, std::int64_t rank) { return rank >= tile.row_begin && rank < tile.row_begin + tile.row_count; }

  // The number of rows of A from `rank` on that lie in the same tile.
  static std::int64_t ranks_together(const ShrinkCall& call, std::int64_t rank) {
    for (const Tile& tile : a_of(call)) {
      if (holds(tile, rank)) return tile.row_begin + tile.row_count - rank;
    }
    return 1;
  }

  static const std::byte* end_of_ranks(const ShrinkCall& call, std::int64_t rank) {
    for (const Tile& tile : a_of(call)) {
      if (holds(tile, rank)) return tile.data + (rank + 1 - tile.row_begin) * tile.col_count * static_cast<std::int64_t>(sizeof(Bfloat16));
    }
    return nullptr;
  }

  // The largest power of two of ranks whose partial sums fit the registers.
  static std::int64_t ranks_of_block(std::int64_t rows, std::int64_t ranks) {
    std::int64_t count = kSums;
    while (count > ranks || count * rows > kSums) count /= 2;
    return count;
  }

  static Function block_of(std::int64_t rows, std::int64_t ranks) {
    static constexpr auto kTable = []<int... kIndex>(std::integer_sequence<int, kIndex...>) {
      return std::array<Function, sizeof...(kIndex)>{function<1 << kIndex % kSizes, kIndex / kSizes + 1>()...};
    }
    (std::make_integer_sequence<int, kSizes * kRows>{});
    return kTable[static_cast<std::size_t>((rows - 1) * kSizes + __builtin_ctzll(static_cast<unsigned long long>(ranks)))];
  }
  static constexpr int kSizes = kSums == 16 ? 5 : 3;  // powers of two up to kSums

  template <int kRanks, int kRowCount>
  static constexpr Function function() {
    if constexpr (kRanks * kRowCount <= kSums) {
      return &multiply<kRanks, kRowCount>;
    } else {
      return nullptr;
    }
  }

  template <int kRanks, int kRowCount>
  static void multiply(const Block& block) {
    const ShrinkCall& call = *block.call;
    Floats sums[kLanes] = {};  // of row t and rank j: [t * kRanks + j]
    for (const Tile& tile : a_of(call)) {
      if (!holds(tile, block.rank)) continue;
      const auto* a = reinterpret_cast<const Bfloat16*>(tile.data) + (block.rank - tile.row_begin) * tile.col_count;
      const Bfloat16* x = call.x.row<const Bfloat16>(block.row) + tile.col_begin;
      const std::byte* prefetch = block.prefetch != nullptr ? block.prefetch : tile.data;
      accumulate<kRanks, kRowCount>(sums, a, tile.col_count, x, call.x.row_stride, prefetch, block.prefetch != nullptr ? kLine : 0);
    }
    float totals[kLanes];
    store(totals, sums_of_lanes(sums));
    for (int t = 0; t < kRowCount; ++t) {
      float* z = call.z.row<float>(block.row + t) + call.applied->z_begin + block.rank;
      __builtin_memcpy(z, totals + t * kRanks, kRanks * sizeof(float));
    }
  }

  template <int kRanks, int kRowCount>
  [[gnu::always_inline]] static void accumulate(Floats (&total)[kLanes], const Bfloat16* a, std::int64_t cols, const Bfloat16* x,
                                                std::int64_t x_stride, const std::byte* prefetch, std::int64_t prefetch_step) {
    Floats sums[kRanks * kRowCount];
#pragma GCC unroll 16
    for (int i = 0; i < kRanks * kRowCount; ++i) sums[i] = total[i];
    const auto step = [&](std::int64_t col, auto read) {
      Words inputs[kRowCount];
#pragma GCC unroll 4
      for (int t = 0; t < kRowCount; ++t) inputs[t] = read(x + t * x_stride + col);
#pragma GCC unroll 16
      for (int j = 0; j < kRanks; ++j) {
        __builtin_prefetch(prefetch, 0, 2);
        prefetch += prefetch_step;
        const Words weights = read(a + j * cols + col);
#pragma GCC unroll 4
        for (int t = 0; t < kRowCount; ++t) sums[t * kRanks + j] = Isa::dot(sums[t * kRanks + j], weights, inputs[t]);
      }
    };
    std::int64_t col = 0;
    for (; col + kStep <= cols; col += kStep) step(col, [](const Bfloat16* from) { return load_words(from); });
    if (col < cols) {
      step(col, [&](const Bfloat16* from) { return load_words_head(from, (cols - col) * static_cast<std::int64_t>(sizeof(Bfloat16))); });
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRanks * kRowCount; ++i) total[i] = sums[i];
  }

  // Lane i of the result: the sum of the lanes of values[i], folded in halves; every lane is summed in the same order.
  [[gnu::always_inline]] static Floats sums_of_lanes(const Floats (&values)[kLanes]) {
    Floats eights[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      const Floats a = values[i], b = values[i + 8];
      eights[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
                  __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    }
    Floats fours[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const Floats a = eights[i], b = eights[i + 4];
      fours[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27) +
                 __builtin_shufflevector(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
    }
    Floats twos[2];
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      const Floats a = fours[i], b = fours[i + 2];
      twos[i] = __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
                __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    }
    return __builtin_shufflevector(twos[0], twos[1], 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30) +
           __builtin_shufflevector(twos[0], twos[1], 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
  }
};

}  // namespace slora::cpu
