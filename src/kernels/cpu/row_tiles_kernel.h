#pragma once
#include "kernels/cpu/row_tiles.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/transpose.h"

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
      transpose_words(block);
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
  static constexpr std::int64_t kSide = kQuadSide;

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
};

}  // namespace slora::cpu
