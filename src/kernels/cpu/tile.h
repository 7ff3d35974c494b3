#pragma once
#include <array>
#include <cstddef>
#include <utility>

#include "kernels/cpu/simd.h"

namespace slora::cpu {

// The one product that all others are made of: out [rows, cols] (= or +=) sum over pairs of x [pairs, rows] * w [pairs, cols], both
// in words of two bf16. Every element is one chain of dot instructions in the order of the pairs, so its bits depend neither
// on the tile's shape nor on how the pairs are cut into calls.
struct TileArgs {
  float* out = nullptr;
  std::ptrdiff_t out_stride = 0;
  const std::uint32_t* x = nullptr;  // [pairs, rows], pairs x_stride apart
  std::ptrdiff_t x_stride = 0;
  const std::uint32_t* w = nullptr;  // panels of [pairs, 32], each panel_stride from the last; pairs pair_stride apart
  std::ptrdiff_t pair_stride = 0;
  std::ptrdiff_t panel_stride = 2 * kLanes;  // as it is when columns simply go on
  std::ptrdiff_t pairs = 0;
  std::int64_t cols = 0;  // columns that `out` has, at most vectors * 16
};

enum class TileStart { zero, out };          // where the sums start
enum class TileWeights { padded, bounded };  // may w be read up to the whole vector, or only up to `cols`?

template <class Isa, int kRows, int kVectors, TileStart kStart, TileWeights kWeights>
void tile(const TileArgs& args) {
  static_assert(kWeights == TileWeights::padded || kVectors == 1);
  const auto cols_of = [&](int v) { return args.cols - v * kLanes < kLanes ? args.cols - v * kLanes : kLanes; };
  Floats sums[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      sums[r][v] = Floats{};
      if constexpr (kStart == TileStart::out) {
        const float* from = args.out + r * args.out_stride + v * kLanes;
        if (cols_of(v) == kLanes) {
          sums[r][v] = load(from);
        } else if (cols_of(v) > 0) {
          sums[r][v] = load_head(from, cols_of(v));
        }
      }
    }
  }
  const std::uint32_t* x = args.x;
  const std::uint32_t* w = args.w;
  for (std::ptrdiff_t pair = 0; pair < args.pairs; ++pair, x += args.x_stride, w += args.pair_stride) {
    Words weights[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const std::uint32_t* from = w + (v / 2) * args.panel_stride + (v % 2) * kLanes;
      weights[v] = kWeights == TileWeights::padded ? load_words(from) : load_words_head(from, args.cols * 4);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const Words value = broadcast_word_at(x + r);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[r][v] = Isa::dot(sums[r][v], weights[v], value);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      float* to = args.out + r * args.out_stride + v * kLanes;
      if (cols_of(v) == kLanes) {
        store(to, sums[r][v]);
      } else if (cols_of(v) > 0) {
        store_head(to, sums[r][v], cols_of(v));
      }
    }
  }
}

// The tile for `rows` rows. Requires: 1 <= rows <= Isa::rows_max(kVectors).
template <class Isa, int kVectors, TileStart kStart, TileWeights kWeights = TileWeights::padded>
void tile_of_rows(int rows, const TileArgs& args) {
  using Function = void (*)(const TileArgs&);
  static constexpr auto kTable = []<int... kRow>(std::integer_sequence<int, kRow...>) {
    return std::array<Function, sizeof...(kRow)>{&tile<Isa, kRow + 1, kVectors, kStart, kWeights>...};
  }
  (std::make_integer_sequence<int, Isa::rows_max(kVectors)>{});
  kTable[static_cast<std::size_t>(rows - 1)](args);
}

// Any number of columns of a weight whose columns simply go on; `w` is not read beyond `cols`.
template <class Isa, TileStart kStart>
void tile_of_columns(int rows, TileArgs args, std::int64_t cols) {
  for (; cols >= kLanes; cols -= kLanes, args.out += kLanes, args.w += kLanes) {
    args.cols = kLanes;
    tile_of_rows<Isa, 1, kStart>(rows, args);
  }
  if (cols == 0) return;
  args.cols = cols;
  tile_of_rows<Isa, 1, kStart, TileWeights::bounded>(rows, args);
}

}  // namespace slora::cpu
