#pragma once
#include "kernels/cpu/row_tiles.h"
#include "kernels/cpu/simd.h"

namespace slora::cpu {

// Packs a tile's rows by transposing blocks of sixteen pairs in registers.
template <class Isa>
class RowTilesKernel {
 public:
  static constexpr int kPairWords = Isa::kDotsPairs ? 1 : 2;

  // Packs pairs [begin, end) of every row into `out`, as RowTile says. The bits do not depend on the range. Requires: at most sixteen rows.
  static void pack(std::uint32_t* out, const RowTile& tile, std::int64_t begin, std::int64_t end) {
    const std::int64_t cols = tile.source.cols;
    const std::int64_t rows = tile.rows;
    std::int64_t pair = begin;
    if constexpr (sizeof(typename Isa::TileFloats) < sizeof(Floats)) {
      if (tile.source.dtype == DType::bf16) pair = pack_narrow(out, tile, begin, end);
    }
    // A whole vector is stored for each pair, and the next store overwrites its surplus lanes; so the last pairs are stored one by one.
    const std::int64_t stride = kPairWords * rows;
    for (; (pair + kLanes) * stride - rows + kLanes <= end * stride && 2 * (pair + kLanes) <= cols; pair += kLanes) {
      Words block[kLanes];
      for (std::int64_t r = 0; r < rows; ++r) block[r] = words_of_row(tile, r, pair);
      for (std::int64_t r = rows; r < kLanes; ++r) block[r] = block[0];
      transpose(block);
      for (int i = 0; i < kLanes; ++i) {
        std::uint32_t* to = out + (pair + i) * stride;
        if constexpr (Isa::kDotsPairs) {
          __builtin_memcpy(to, &block[i], sizeof(Words));
        } else {
          const Words even = block[i] << 16, odd = block[i] & 0xffff0000u;
          __builtin_memcpy(to, &even, sizeof(Words));
          __builtin_memcpy(to + rows, &odd, sizeof(Words));
        }
      }
    }
    for (; pair < end; ++pair) {
      for (std::int64_t r = 0; r < rows; ++r) {
        const std::uint32_t word = word_at(tile, r, pair);
        out[pair * stride + r] = Isa::kDotsPairs ? word : word << 16;
        if constexpr (!Isa::kDotsPairs) out[pair * stride + rows + r] = word & 0xffff0000u;
      }
    }
  }

 private:
  using Quad [[gnu::vector_size(16)]] = std::uint32_t;
  static constexpr std::int64_t kSide = 4;

  // Packs rows of bf16 in blocks of four rows and pairs, which narrow registers transpose faster than larger ones; returns the first pair
  // that is left.
  static std::int64_t pack_narrow(std::uint32_t* out, const RowTile& tile, std::int64_t pair, std::int64_t end) {
    constexpr std::int64_t kBlocks = (Isa::kTileRows + kSide - 1) / kSide;
    const std::int64_t rows = tile.rows, stride = kPairWords * rows;
    const std::int64_t blocks = (rows + kSide - 1) / kSide;
    // Of the last pair's odd elements whole blocks are stored too.
    for (; (pair + kSide) * stride - rows + blocks * kSide <= end * stride && 2 * (pair + kSide) <= tile.source.cols; pair += kSide) {
      Quad words[kBlocks][kSide];
      for (std::int64_t block = 0; block < blocks; ++block) {
        for (std::int64_t r = 0; r < kSide; ++r) {
          const std::int64_t row = least(block * kSide + r, rows - 1);
          __builtin_memcpy(&words[block][r], tile.source.row<const Bfloat16>(row) + 2 * pair, sizeof(Quad));
        }
        transpose_quads(words[block]);
      }
      for (std::int64_t i = 0; i < kSide; ++i) {
        std::uint32_t* to = out + (pair + i) * stride;
        for (std::int64_t block = 0; block < blocks; ++block) {
          const Quad even = words[block][i] << 16;
          __builtin_memcpy(to + block * kSide, &even, sizeof even);
        }
        for (std::int64_t block = 0; block < blocks; ++block) {
          const Quad odd = words[block][i] & 0xffff0000u;
          __builtin_memcpy(to + rows + block * kSide, &odd, sizeof odd);
        }
      }
    }
    return pair;
  }

  [[gnu::always_inline]] static void transpose_quads(Quad (&rows)[kSide]) {
    const Quad low01 = __builtin_shufflevector(rows[0], rows[1], 0, 4, 1, 5),
               high01 = __builtin_shufflevector(rows[0], rows[1], 2, 6, 3, 7);
    const Quad low23 = __builtin_shufflevector(rows[2], rows[3], 0, 4, 1, 5),
               high23 = __builtin_shufflevector(rows[2], rows[3], 2, 6, 3, 7);
    rows[0] = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
    rows[1] = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
    rows[2] = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
    rows[3] = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
  }

  // The words of sixteen pairs of one row.
  [[gnu::always_inline]] static Words words_of_row(const RowTile& tile, std::int64_t row, std::int64_t pair) {
    if (tile.source.dtype == DType::bf16) return load_words(tile.source.row<const Bfloat16>(row) + 2 * pair);
    const float* from = tile.source.row<const float>(row) + 2 * pair;
    const Words first = rounded_to_bfloat16(load(from) * tile.factor);
    const Words second = rounded_to_bfloat16(load(from + kLanes) * tile.factor);
    const Ints even = {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30};
    return __builtin_shuffle(first, second, even) | (__builtin_shuffle(first, second, even + 1) << 16);
  }

  // An odd last element is paired with 0.
  static std::uint32_t word_at(const RowTile& tile, std::int64_t row, std::int64_t pair) {
    const bool is_whole = 2 * pair + 1 < tile.source.cols;
    if (tile.source.dtype == DType::bf16) {
      const Bfloat16* from = tile.source.row<const Bfloat16>(row) + 2 * pair;
      return from[0].bits | (is_whole ? static_cast<std::uint32_t>(from[1].bits) << 16 : 0u);
    }
    const float* from = tile.source.row<const float>(row) + 2 * pair;
    return to_bfloat16(tile.factor * from[0]).bits |
           (is_whole ? static_cast<std::uint32_t>(to_bfloat16(tile.factor * from[1]).bits) << 16 : 0u);
  }

  // Transposes 16 x 16 words by exchanging blocks of 8, 4, 2 and 1 rows and columns.
  [[gnu::always_inline]] static void transpose(Words (&block)[kLanes]) {
    const Ints low8 = {0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23}, high8 = low8 + 8;
    const Ints low4 = {0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27}, high4 = low4 + 4;
    const Ints low2 = {0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29}, high2 = low2 + 2;
    const Ints low1 = {0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30}, high1 = low1 + 1;
    exchange<8>(block, low8, high8);
    exchange<4>(block, low4, high4);
    exchange<2>(block, low2, high2);
    exchange<1>(block, low1, high1);
  }

  template <int kDistance>
  [[gnu::always_inline]] static void exchange(Words (&block)[kLanes], Ints low, Ints high) {
#pragma GCC unroll 16
    for (int r = 0; r < kLanes; ++r) {
      if ((r & kDistance) != 0) continue;
      const Words a = block[r];
      const Words b = block[r + kDistance];
      block[r] = __builtin_shuffle(a, b, low);
      block[r + kDistance] = __builtin_shuffle(a, b, high);
    }
  }
};

}  // namespace slora::cpu
