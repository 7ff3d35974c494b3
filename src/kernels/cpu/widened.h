#pragma once
#include <cstddef>

#include "kernels/cpu/simd.h"

namespace slora::cpu {

// Products of pairs of bf16 for instruction sets without an instruction for them (Isa::kDotsPairs): both factors are widened to fp32, which
// is exact, and each element of a sum is one chain of multiply-adds in the order of the inputs.

template <class Pairs>
inline constexpr Pairs kOddMask = 0xffff0000u - Pairs{};

// out [pairs, 2, kVectors * 16] fp32 = the even and then the odd inputs of `pairs` pairs of w [pairs, kVectors * 16], pair_stride apart.
template <class Isa, int kVectors>
void widen_weights(float* out, const std::uint32_t* w, std::ptrdiff_t pair_stride, std::ptrdiff_t pairs) {
  using Pairs = typename Isa::TileWords;
  constexpr int kCols = kVectors * kLanes;
  for (std::ptrdiff_t pair = 0; pair < pairs; ++pair, w += pair_stride, out += 2 * kCols) {
#pragma GCC unroll 16
    for (int col = 0; col < kCols; col += static_cast<int>(sizeof(Pairs) / sizeof(float))) {
      Pairs words;
      __builtin_memcpy(&words, w + col, sizeof words);
      const Pairs even = words << 16, odd = words & kOddMask<Pairs>;
      __builtin_memcpy(out + col, &even, sizeof even);
      __builtin_memcpy(out + kCols + col, &odd, sizeof odd);
    }
  }
}

// sums [kRows, kRegisters] += x * columns: of one input of kRows rows, x_step floats apart, and of the columns that `column_at` returns.
// Whichever are more are read one at a time, so that the sums and the others fit the registers.
template <class Isa, int kRows, int kRegisters, class Sums, class ColumnAt>
[[gnu::always_inline]] inline void add_products(Sums (&sums)[kRows][kRegisters], const std::uint32_t* x, std::ptrdiff_t x_step,
                                                ColumnAt&& column_at) {
  const auto row_at = [=](int r) { return __builtin_bit_cast(Sums, x[r * x_step] - typename Isa::TileWords{}); };
  if constexpr (kRows >= kRegisters) {
    Sums columns[kRegisters];
#pragma GCC unroll 16
    for (int v = 0; v < kRegisters; ++v) columns[v] = column_at(v);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const Sums row = row_at(r);
#pragma GCC unroll 16
      for (int v = 0; v < kRegisters; ++v) sums[r][v] = Isa::multiply_add(columns[v], row, sums[r][v]);
    }
  } else {
    Sums rows[kRows];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) rows[r] = row_at(r);
#pragma GCC unroll 16
    for (int v = 0; v < kRegisters; ++v) {
      const Sums column = column_at(v);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) sums[r][v] = Isa::multiply_add(column, rows[r], sums[r][v]);
    }
  }
}

// The same for both inputs of a pair: of rows in fp32, the odd ones odd_step floats after the even ones, and of columns of bf16 at `w`,
// which pairs_at(w, v) reads.
template <class Isa, int kRows, int kRegisters, class Sums, class PairsAt>
[[gnu::always_inline]] inline void add_pair(Sums (&sums)[kRows][kRegisters], const std::uint32_t* x, std::ptrdiff_t x_step,
                                            std::ptrdiff_t odd_step, const std::uint32_t* w, PairsAt&& pairs_at) {
  using Pairs = typename Isa::TileWords;
  add_products<Isa>(sums, x, x_step, [&](int v) { return __builtin_bit_cast(Sums, pairs_at(w, v) << 16); });
  // Where sums take nearly all registers, the compiler is kept from holding the pairs or the mask in more of them.
  const Pairs* mask = &kOddMask<Pairs>;
  if constexpr (kRows * kRegisters + least(kRows, kRegisters) + 2 >= Isa::kVectorRegisters) asm("" : "+r"(w), "+r"(mask));
  add_products<Isa>(sums, x + odd_step, x_step, [&](int v) { return __builtin_bit_cast(Sums, pairs_at(w, v) & *mask); });
}

}  // namespace slora::cpu
