#pragma once
#include "kernels/cpu/simd.h"

namespace slora::cpu {

// Four words: blocks of 4 x 4 are what narrow registers transpose faster than larger ones.
using Quad [[gnu::vector_size(16)]] = std::uint32_t;
inline constexpr std::int64_t kQuadSide = 4;

[[gnu::always_inline]] inline void transpose_quads(Quad (&rows)[kQuadSide]) {
  const Quad low01 = __builtin_shufflevector(rows[0], rows[1], 0, 4, 1, 5), high01 = __builtin_shufflevector(rows[0], rows[1], 2, 6, 3, 7);
  const Quad low23 = __builtin_shufflevector(rows[2], rows[3], 0, 4, 1, 5), high23 = __builtin_shufflevector(rows[2], rows[3], 2, 6, 3, 7);
  rows[0] = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
  rows[1] = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
  rows[2] = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
  rows[3] = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
}

template <int kDistance>
[[gnu::always_inline]] inline void exchange_blocks(Words (&block)[kLanes], Ints low, Ints high) {
#pragma GCC unroll 16
  for (int r = 0; r < kLanes; ++r) {
    if ((r & kDistance) != 0) continue;
    const Words a = block[r];
    const Words b = block[r + kDistance];
    block[r] = __builtin_shuffle(a, b, low);
    block[r + kDistance] = __builtin_shuffle(a, b, high);
  }
}

// Transposes 16 x 16 words by exchanging blocks of 8, 4, 2 and 1 rows and columns.
[[gnu::always_inline]] inline void transpose_words(Words (&block)[kLanes]) {
  const Ints low8 = {0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23}, high8 = low8 + 8;
  const Ints low4 = {0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27}, high4 = low4 + 4;
  const Ints low2 = {0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29}, high2 = low2 + 2;
  const Ints low1 = {0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30}, high1 = low1 + 1;
  exchange_blocks<8>(block, low8, high8);
  exchange_blocks<4>(block, low4, high4);
  exchange_blocks<2>(block, low2, high2);
  exchange_blocks<1>(block, low1, high1);
}

}  // namespace slora::cpu
