#pragma once
#include "kernels/cpu/int4_isa.h"
#include "kernels/cpu/int4_weight.h"
#include "kernels/cpu/int8_tile.h"

namespace slora::cpu {

// counts += the half of each byte of `words` from bit `shift` on, times a word of each row at x.
template <class Isa, int kRows, int kRegisters>
[[gnu::always_inline]] inline void add_int4_products(typename Isa::TileInts (&counts)[kRows][kRegisters],
                                                     const typename Isa::TileWords (&words)[kRegisters], int shift,
                                                     const std::uint32_t* x) {
  using Levels = typename Isa::TileWords;
  Levels levels[kRegisters];
#pragma GCC unroll 16
  for (int v = 0; v < kRegisters; ++v) levels[v] = words[v] >> shift & 0x0f0f0f0fu;
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    std::uint32_t word;
    __builtin_memcpy(&word, x + r, sizeof word);
    const Levels value = word - Levels{};
#pragma GCC unroll 16
    for (int v = 0; v < kRegisters; ++v) counts[r][v] = Int4Isa<Isa>::dot(counts[r][v], levels[v], value);
  }
}

// The micro-kernel of all products with an Int4Weight: out [rows, cols] (= or +=) sum over groups, in their order, of (scale of the weight
// * scale of the row) * the exact integer product of levels and bytes, then of offset * (scale of the row * the sum of its bytes). So an
// element's bits depend neither on the tile's shape nor on how the groups are split over calls.
template <class Isa, int kRows, int kVectors>
void int4_tile(const Int8TileArgs& args) {
  using Sums = typename Isa::TileFloats;
  using Levels = typename Isa::TileWords;
  using Counts = typename Isa::TileInts;
  using Params = typename Isa::TileHalves;
  constexpr int kWidth = sizeof(Sums) / sizeof(float);
  constexpr int kRegisters = kVectors * kLanes / kWidth;
  constexpr int kPanelCols = Int4Weight::kPanelCols;
  constexpr std::ptrdiff_t kSteps = Int4Weight::kGroupSteps;
  Sums sums[kRows][kRegisters];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kRegisters; ++v) {
      sums[r][v] = Sums{};
      if (args.start == TileStart::out) __builtin_memcpy(&sums[r][v], args.out + r * args.out_stride + v * kWidth, sizeof(Sums));
    }
  }
  const std::uint32_t* x = args.x;
  const std::uint32_t* w = args.w + args.col_begin;
  const std::byte* prefetch = args.prefetch;
  for (std::ptrdiff_t group = 0; group < args.group_count; ++group, w += Int4Weight::kGroupWords) {
    Counts counts[kRows][kRegisters] = {};
#pragma GCC unroll 4
    for (std::ptrdiff_t step = 0; step < kSteps; ++step, prefetch += args.prefetch_step) {
      __builtin_prefetch(prefetch, 0, 2);
      __builtin_prefetch(prefetch + 64, 0, 2);
      __builtin_prefetch(prefetch + 128, 0, 2);
      Levels words[kRegisters];
#pragma GCC unroll 16
      for (int v = 0; v < kRegisters; ++v) {
        const int col = v * kWidth;
        __builtin_memcpy(&words[v], w + step * kPanelCols + col / kPanelCols * args.panel_stride + col % kPanelCols, sizeof(Levels));
      }
      add_int4_products<Isa, kRows, kRegisters>(counts, words, 0, x + step * kRows);
      add_int4_products<Isa, kRows, kRegisters>(counts, words, 4, x + (kSteps + step) * kRows);
    }
    const std::uint32_t* tail = x + 2 * kSteps * kRows;  // [rows] scales, [rows] sums of the row's values
    Sums scales[kRegisters], offsets[kRegisters];
#pragma GCC unroll 16
    for (int v = 0; v < kRegisters; ++v) {
      const int col = v * kWidth;
      const std::uint32_t* end = w - args.col_begin + col / kPanelCols * args.panel_stride + kSteps * kPanelCols;
      const auto* first = reinterpret_cast<const Float16*>(end) + args.col_begin + col % kPanelCols;
      Params params;
      __builtin_memcpy(&params, first, sizeof params);
      scales[v] = Int4Isa<Isa>::widen(params);
      __builtin_memcpy(&params, first + kPanelCols, sizeof params);
      offsets[v] = Int4Isa<Isa>::widen(params);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      float scale, sum;
      __builtin_memcpy(&scale, tail + r, sizeof scale);
      __builtin_memcpy(&sum, tail + kRows + r, sizeof sum);
#pragma GCC unroll 16
      for (int v = 0; v < kRegisters; ++v) {
        sums[r][v] = Isa::multiply_add(__builtin_convertvector(counts[r][v], Sums), scales[v] * scale, sums[r][v]);
        sums[r][v] = Isa::multiply_add(offsets[v], sum - Sums{}, sums[r][v]);
      }
    }
    x = tail + Int4RowTile::kTailWords * kRows;
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kRegisters; ++v) __builtin_memcpy(args.out + r * args.out_stride + v * kWidth, &sums[r][v], sizeof(Sums));
  }
}

// The tiles of products with an Int4Weight.
template <class Isa>
struct Int4Tiles {
  static constexpr int rows_max(int vectors) { return Int4Isa<Isa>::rows_max(vectors); }
  static constexpr int kTileRows = Int4Isa<Isa>::kTileRows;
  template <int kRows, int kVectors>
  static constexpr auto kTile = &int4_tile<Isa, kRows, kVectors>;
};

}  // namespace slora::cpu
