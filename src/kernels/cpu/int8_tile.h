#pragma once
#include <array>
#include <cstddef>
#include <utility>

#include "kernels/cpu/int8_rows.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/tile.h"

namespace slora::cpu {

// The micro-kernel of all products with an Int8Weight: out [rows, cols] (= or +=) sum over groups, in their order, of (scale of the weight
// * scale of the row) * the exact integer dot product of the group. So an element's bits depend neither on the tile's shape nor on how the
// groups are split over calls.
struct Int8TileArgs {
  float* out = nullptr;
  std::ptrdiff_t out_stride = 0;
  const std::uint32_t* x = nullptr;  // first group of an Int8RowTile
  const std::uint32_t* w = nullptr;  // first group of a panel
  std::ptrdiff_t panel_stride = 0;   // words
  std::ptrdiff_t col_begin = 0;      // first column within the panel, for tiles narrower than a panel
  std::ptrdiff_t group_count = 0;
  std::ptrdiff_t last_quads = 0;        // of the last of these groups
  TileStart start = TileStart::zero;    // initial value of the sums
  const std::byte* prefetch = nullptr;  // memory to prefetch while computing, prefetch_step bytes further with each quad
  std::ptrdiff_t prefetch_step = 0;
};

// kRows x (kVectors * 16) integer sums of a group and as many fp32 sums stay in registers of the instruction set, kWidth lanes each.
template <class Isa, int kRows, int kVectors>
void int8_tile(const Int8TileArgs& args) {
  using Sums = typename Isa::TileFloats;
  using Quads = typename Isa::TileWords;
  using Counts = typename Isa::TileInts;
  using Scales = typename Isa::TileHalves;
  constexpr int kWidth = sizeof(Sums) / sizeof(float);
  constexpr int kRegisters = kVectors * kLanes / kWidth;
  constexpr int kPanelCols = Int8Weight::kPanelCols;
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
  for (std::ptrdiff_t group = 0; group < args.group_count; ++group) {
    const std::ptrdiff_t quads = group + 1 < args.group_count ? Int8Weight::kGroupQuads : args.last_quads;
    const std::uint32_t* tail = x + quads * kRows;  // [rows] scales, [rows] starts
    Counts counts[kRows][kRegisters];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      std::int32_t start;
      __builtin_memcpy(&start, tail + kRows + r, sizeof start);
#pragma GCC unroll 16
      for (int v = 0; v < kRegisters; ++v) counts[r][v] = start - Counts{};
    }
    for (std::ptrdiff_t quad = 0; quad < quads; ++quad, x += kRows, w += kPanelCols, prefetch += args.prefetch_step) {
      __builtin_prefetch(prefetch, 0, 2);
      __builtin_prefetch(prefetch + 64, 0, 2);
      Quads weights[kRegisters];
#pragma GCC unroll 16
      for (int v = 0; v < kRegisters; ++v) {
        const int col = v * kWidth;
        __builtin_memcpy(&weights[v], w + col / kPanelCols * args.panel_stride + col % kPanelCols, sizeof(Quads));
      }
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        std::uint32_t word;
        __builtin_memcpy(&word, x + r, sizeof word);
        const Quads value = word - Quads{};
#pragma GCC unroll 16
        for (int v = 0; v < kRegisters; ++v) counts[r][v] = Isa::dot_bytes(counts[r][v], weights[v], value);
      }
    }
    Sums scales[kRegisters];
#pragma GCC unroll 16
    for (int v = 0; v < kRegisters; ++v) {
      const int col = v * kWidth;
      const std::uint32_t* words = w - args.col_begin + col / kPanelCols * args.panel_stride;
      Scales halves;
      __builtin_memcpy(&halves, reinterpret_cast<const Bfloat16*>(words) + args.col_begin + col % kPanelCols, sizeof halves);
      scales[v] = __builtin_bit_cast(Sums, __builtin_convertvector(halves, Quads) << 16);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      float scale;
      __builtin_memcpy(&scale, tail + r, sizeof scale);
#pragma GCC unroll 16
      for (int v = 0; v < kRegisters; ++v) {
        sums[r][v] = Isa::multiply_add(__builtin_convertvector(counts[r][v], Sums), scales[v] * scale, sums[r][v]);
      }
    }
    x = tail + Int8RowTile::kTailWords * kRows;
    w += Int8Weight::kScaleWords;
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kRegisters; ++v) __builtin_memcpy(args.out + r * args.out_stride + v * kWidth, &sums[r][v], sizeof(Sums));
  }
}

// The tiles of products with an Int8Weight.
template <class Isa>
struct Int8Tiles {
  static constexpr int rows_max(int vectors) { return Isa::int8_rows_max(vectors); }
  static constexpr int kTileRows = Isa::kInt8TileRows;
  template <int kRows, int kVectors>
  static constexpr auto kTile = &int8_tile<Isa, kRows, kVectors>;
};

// Runs the tile with `rows` rows and the first `cols` columns of `out`; if those are fewer than kVectors * 16, it computes into a copy.
// Tiles: of one kind of weight and one instruction set. Requires: 1 <= rows <= Tiles::rows_max(kVectors).
template <class Tiles, int kVectors>
void byte_tile_of_columns(int rows, const Int8TileArgs& args, std::int64_t cols) {
  using Function = void (*)(const Int8TileArgs&);
  static constexpr auto kTable = []<int... kRow>(std::integer_sequence<int, kRow...>) {
    return std::array<Function, sizeof...(kRow)>{Tiles::template kTile<kRow + 1, kVectors>...};
  }
  (std::make_integer_sequence<int, Tiles::rows_max(kVectors)>{});
  constexpr std::int64_t kCols = kVectors * kLanes;
  const Function function = kTable[static_cast<std::size_t>(rows - 1)];
  if (cols >= kCols) return function(args);
  alignas(64) float copy[Tiles::rows_max(kVectors) * kCols] = {};
  const std::size_t bytes = static_cast<std::size_t>(cols) * sizeof(float);
  if (args.start == TileStart::out) {
    for (int r = 0; r < rows; ++r) __builtin_memcpy(copy + r * kCols, args.out + r * args.out_stride, bytes);
  }
  Int8TileArgs inner = args;
  inner.out = copy;
  inner.out_stride = kCols;
  function(inner);
  for (int r = 0; r < rows; ++r) __builtin_memcpy(args.out + r * args.out_stride, copy + r * kCols, bytes);
}

}  // namespace slora::cpu
