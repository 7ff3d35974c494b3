#pragma once
#include <array>
#include <cstddef>
#include <utility>

#include "kernels/cpu/simd.h"

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
  const std::byte* prefetch = nullptr;  // memory to prefetch while computing, prefetch_step bytes further with each pair
  std::ptrdiff_t prefetch_step = 0;
};

enum class TileStart { zero, out };  // initial value of the sums
// What is read of w: whole vectors; only weight_bytes of its single vector; or vectors that widen_weights() made of it.
enum class TileWeights { whole, bounded, wide };

// The even inputs of pairs of bf16 in fp32, and the odd ones.
template <class Sums, class Pairs>
[[gnu::always_inline]] inline Sums even_of(Pairs pairs) {
  return __builtin_bit_cast(Sums, pairs << 16);
}
template <class Sums, class Pairs>
[[gnu::always_inline]] inline Sums odd_of(Pairs pairs) {
  return __builtin_bit_cast(Sums, pairs & 0xffff0000u);
}

// out [pairs, 2, kVectors * 16] fp32 = the even and then the odd inputs of `pairs` pairs of w [pairs, kVectors * 16], pair_stride apart.
template <class Isa, int kVectors>
void widen_weights(float* out, const std::uint32_t* w, std::ptrdiff_t pair_stride, std::ptrdiff_t pairs) {
  using Sums = typename Isa::TileFloats;
  constexpr int kWidth = sizeof(Sums) / sizeof(float);
  for (std::ptrdiff_t pair = 0; pair < pairs; ++pair, w += pair_stride, out += 2 * kVectors * kLanes) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors * kLanes; v += kWidth) {
      typename Isa::TileWords words;
      __builtin_memcpy(&words, w + v, sizeof words);
      const auto even = even_of<Sums>(words), odd = odd_of<Sums>(words);
      __builtin_memcpy(out + v, &even, sizeof even);
      __builtin_memcpy(out + kVectors * kLanes + v, &odd, sizeof odd);
    }
  }
}

// sums [kRows, kRegisters] += x [kRows] * weights [kRegisters], which `weights` reads. Whichever has more elements is read one at a time,
// so that sums and the other fit the registers.
template <class Isa, int kRows, int kRegisters, class Sums, class Weights>
[[gnu::always_inline]] inline void add_products(Sums (&sums)[kRows][kRegisters], const std::uint32_t* x, Weights&& weights) {
  using Pairs = typename Isa::TileWords;
  const auto row = [x](int r) { return __builtin_bit_cast(Sums, x[r] - Pairs{}); };
  if constexpr (kRows >= kRegisters) {
    Sums columns[kRegisters];
#pragma GCC unroll 16
    for (int v = 0; v < kRegisters; ++v) columns[v] = weights(v);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const Sums value = row(r);
#pragma GCC unroll 16
      for (int v = 0; v < kRegisters; ++v) sums[r][v] = Isa::multiply_add(columns[v], value, sums[r][v]);
    }
  } else {
    Sums values[kRows];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) values[r] = row(r);
#pragma GCC unroll 16
    for (int v = 0; v < kRegisters; ++v) {
      const Sums column = weights(v);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) sums[r][v] = Isa::multiply_add(column, values[r], sums[r][v]);
    }
  }
}

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
  static constexpr Pairs kMask = 0xffff0000u - Pairs{};  // of odd inputs
  for (std::ptrdiff_t pair = 0; pair < args.pairs; ++pair, x += args.x_stride, w += args.pair_stride, prefetch += args.prefetch_step) {
    __builtin_prefetch(prefetch, 0, 2);
    if constexpr (kRows * kVectors >= kLanes) __builtin_prefetch(prefetch + 64, 0, 2);
    Words head;
    if constexpr (kWeights == TileWeights::bounded) head = load_words_head(w, weight_bytes);
    const auto pairs_at = [&](int v) {
      const int col = v * kWidth;
      const std::uint32_t* from = w + col / kPanelCols * args.panel_stride + col % kPanelCols;
      if constexpr (kWeights == TileWeights::bounded) from = reinterpret_cast<const std::uint32_t*>(&head) + col;
      Pairs pairs;
      __builtin_memcpy(&pairs, from, sizeof pairs);
      return pairs;
    };
    if constexpr (Isa::kDotsPairs) {
      Pairs weights[kRegisters];
#pragma GCC unroll 16
      for (int v = 0; v < kRegisters; ++v) weights[v] = pairs_at(v);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const Pairs value = x[r] - Pairs{};
#pragma GCC unroll 16
        for (int v = 0; v < kRegisters; ++v) sums[r][v] = Isa::dot(sums[r][v], weights[v], value);
      }
    } else if constexpr (kWeights == TileWeights::wide) {
      const auto wide_at = [w](int v) {
        Sums wide;
        __builtin_memcpy(&wide, w + v * kWidth, sizeof wide);
        return wide;
      };
      add_products<Isa>(sums, x, wide_at);
      add_products<Isa>(sums, x + kRows, [&](int v) { return wide_at(kRegisters + v); });
    } else {
      add_products<Isa>(sums, x, [&](int v) { return even_of<Sums>(pairs_at(v)); });
      // Where sums take nearly all registers, the compiler is kept from using more of them for pairs or mask than for one instruction.
      const Pairs* mask = &kMask;
      if constexpr (kRows * kRegisters + least(kRows, kRegisters) + 2 >= Isa::kVectorRegisters) asm("" : "+r"(w), "+r"(mask));
      add_products<Isa>(sums, x + kRows, [&](int v) { return __builtin_bit_cast(Sums, pairs_at(v) & *mask); });
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
  // Wide vectors are always whole.
  constexpr TileWeights kWhole = kWeights == TileWeights::wide ? kWeights : TileWeights::whole;
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
