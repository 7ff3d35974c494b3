#pragma once
#include <array>
#include <cstddef>
#include <utility>

#include "kernels/cpu/widened.h"

namespace slora::cpu {

// The micro-kernel of all products in bf16: out [rows, cols] (= or +=) sum over pairs of inputs of x [pairs, rows] * w [pairs, cols].
// Every element is one chain of dot instructions, or of multiply-adds, in the order of the inputs, so its bits depend neither on the tile's
// shape nor on how the pairs are split over calls.
struct TileArgs {
  float* out = nullptr;
  std::ptrdiff_t out_stride = 0;
  const std::uint32_t* x = nullptr;  // as in RowTile, pairs x_stride apart
  std::ptrdiff_t x_stride = 0;
  const std::uint32_t* w = nullptr;  // panels of [pairs, 32] words of two bf16, panel_stride words apart; pairs pair_stride words apart
  std::ptrdiff_t pair_stride = 0;
  std::ptrdiff_t panel_stride = 2 * kLanes;  // the value if all columns are contiguous
  std::ptrdiff_t pairs = 0;
  const std::byte* prefetch = nullptr;  // memory to prefetch while computing, prefetch_step bytes further with each pair; not if streamed
  std::ptrdiff_t prefetch_step = 0;
};

enum class TileStart { zero, out };  // initial value of the sums
// What is read of w: whole vectors; the same, and kStreamBytes further on they are prefetched; only weight_bytes of its single vector; or
// vectors that widen_weights() made of it.
enum class TileWeights { whole, streamed, bounded, wide };
inline constexpr std::ptrdiff_t kStreamBytes = 8192;  // of all panels of a tile together

// kRows x (kVectors * 16) sums stay in registers of the instruction set, kWidth lanes each.
template <class Isa, int kRows, int kVectors, TileStart kStart, TileWeights kWeights>
void tile(const TileArgs& args, [[maybe_unused]] std::int64_t weight_bytes) {
  static_assert(kWeights != TileWeights::bounded || kVectors == 1);
  static_assert(kWeights != TileWeights::wide || !Isa::kDotsPairs);
  using Sums = typename Isa::TileFloats;
  using Pairs = typename Isa::TileWords;
  constexpr int kWidth = sizeof(Sums) / sizeof(float);
  constexpr int kRegisters = kVectors * kLanes / kWidth;
  constexpr int kPanelCols = 2 * kLanes;
  Sums sums[kRows][kRegisters];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kRegisters; ++v) {
      sums[r][v] = Sums{};
      if constexpr (kStart == TileStart::out) __builtin_memcpy(&sums[r][v], args.out + r * args.out_stride + v * kWidth, sizeof(Sums));
    }
  }
  const std::uint32_t* x = args.x;
  const std::uint32_t* w = args.w;
  const std::byte* prefetch = args.prefetch;
  for (std::ptrdiff_t pair = 0; pair < args.pairs; ++pair, x += args.x_stride, w += args.pair_stride, prefetch += args.prefetch_step) {
    if constexpr (kWeights == TileWeights::streamed) {
      static_assert(kVectors >= 2);
      constexpr std::ptrdiff_t kPanels = kVectors * kLanes / kPanelCols;
#pragma GCC unroll 16
      for (int col = 0; col < kVectors * kLanes; col += kLanes) {
        const std::uint32_t* line = w + col / kPanelCols * args.panel_stride + col % kPanelCols;
        __builtin_prefetch(reinterpret_cast<const std::byte*>(line) + kStreamBytes / kPanels, 0, 2);
      }
    } else {
      __builtin_prefetch(prefetch, 0, 2);
      if constexpr (kRows * kVectors >= kLanes) __builtin_prefetch(prefetch + 64, 0, 2);
    }
    Words head;
    if constexpr (kWeights == TileWeights::bounded) head = load_words_head(w, weight_bytes);
    const auto pairs_at = [&](const std::uint32_t* columns, int v) {
      const int col = v * kWidth;
      if constexpr (kWeights == TileWeights::bounded) columns = reinterpret_cast<const std::uint32_t*>(&head);
      Pairs pairs;
      __builtin_memcpy(&pairs, columns + col / kPanelCols * args.panel_stride + col % kPanelCols, sizeof pairs);
      return pairs;
    };
    if constexpr (Isa::kDotsPairs) {
      Pairs weights[kRegisters];
#pragma GCC unroll 16
      for (int v = 0; v < kRegisters; ++v) weights[v] = pairs_at(w, v);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const Pairs value = x[r] - Pairs{};
#pragma GCC unroll 16
        for (int v = 0; v < kRegisters; ++v) sums[r][v] = Isa::dot(sums[r][v], weights[v], value);
      }
    } else if constexpr (kWeights == TileWeights::wide) {
      const auto wide_at = [&](int v) {
        Sums wide;
        __builtin_memcpy(&wide, w + v * kWidth, sizeof wide);
        return wide;
      };
      add_products<Isa>(sums, x, 1, wide_at);
      add_products<Isa>(sums, x + kRows, 1, [&](int v) { return wide_at(kRegisters + v); });
    } else {
      add_pair<Isa>(sums, x, 1, kRows, w, pairs_at);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kRegisters; ++v) __builtin_memcpy(args.out + r * args.out_stride + v * kWidth, &sums[r][v], sizeof(Sums));
  }
}

// Runs the tile with `rows` rows and all of kVectors * 16 columns. Requires: 1 <= rows <= Isa::rows_max(kVectors).
template <class Isa, int kVectors, TileStart kStart, TileWeights kWeights = TileWeights::whole>
void tile_of_rows(int rows, const TileArgs& args, std::int64_t weight_bytes = 0) {
  using Function = void (*)(const TileArgs&, std::int64_t);
  static constexpr auto kTable = []<int... kRow>(std::integer_sequence<int, kRow...>) {
    return std::array<Function, sizeof...(kRow)>{&tile<Isa, kRow + 1, kVectors, kStart, kWeights>...};
  }
  (std::make_integer_sequence<int, Isa::rows_max(kVectors)>{});
  kTable[static_cast<std::size_t>(rows - 1)](args, weight_bytes);
}

// The same if only the first `cols` columns of `out` exist: then the tile computes into a copy.
template <class Isa, int kVectors, TileStart kStart, TileWeights kWeights = TileWeights::whole>
void tile_of_columns(int rows, const TileArgs& args, std::int64_t cols) {
  // All but bounded vectors are always whole.
  constexpr TileWeights kWhole = kWeights == TileWeights::bounded ? TileWeights::whole : kWeights;
  if (cols >= kVectors * kLanes) return tile_of_rows<Isa, kVectors, kStart, kWhole>(rows, args);
  alignas(64) float copy[Isa::rows_max(kVectors) * kVectors * kLanes];
  TileArgs inner = args;
  inner.out = copy;
  inner.out_stride = kVectors * kLanes;
  const std::size_t bytes = static_cast<std::size_t>(cols) * sizeof(float);
  if constexpr (kStart == TileStart::out) {
    __builtin_memset(copy, 0, sizeof copy);
    for (int r = 0; r < rows; ++r) __builtin_memcpy(copy + r * inner.out_stride, args.out + r * args.out_stride, bytes);
  }
  tile_of_rows<Isa, kVectors, kStart, kWeights>(rows, inner, cols * static_cast<std::int64_t>(sizeof(std::uint32_t)));
  for (int r = 0; r < rows; ++r) __builtin_memcpy(args.out + r * args.out_stride, copy + r * inner.out_stride, bytes);
}

// Any number of columns of a weight whose columns are contiguous, in the widest tiles that hold `rows` rows. Neither w nor out is accessed
// beyond `cols`. Requires: 1 <= rows <= Isa::rows_max(1).
template <class Isa, TileStart kStart>
void tile_strip(int rows, TileArgs args, std::int64_t cols) {
  const auto go = [&]<int kVectors>(std::integral_constant<int, kVectors>) {
    if constexpr (Isa::rows_max(kVectors) > 0) {
      constexpr std::int64_t kCols = kVectors * kLanes;
      for (; rows <= Isa::rows_max(kVectors) && cols >= kCols; cols -= kCols, args.out += kCols, args.w += kCols) {
        tile_of_rows<Isa, kVectors, kStart>(rows, args);
      }
    }
  };
  go(std::integral_constant<int, 4>{});
  go(std::integral_constant<int, 2>{});
  go(std::integral_constant<int, 1>{});
  if (cols > 0) tile_of_columns<Isa, 1, kStart, TileWeights::bounded>(rows, args, cols);
}

}  // namespace slora::cpu
