#pragma once
#include "kernels/cpu/simd.h"

namespace slora::cpu {

// A product stays what it is if its inputs and each row of its weights are multiplied by the same orthogonal matrix. A Hadamard matrix (of
// ones and minus ones) spreads a large number over all numbers of its block, so that rounding them to levels between the largest ones errs
// less. A group of inputs is cut into blocks of the largest power of two that what is left of it holds. A block of length n grows by
// sqrt(n); shorter ones are multiplied by a power of two, so that the numbers of a group, which share their levels, are about equally
// large.

inline constexpr std::int64_t kRotatedMax = 128;

// Multiplies a group of at most kRotatedMax values by the matrices of its blocks.
void rotate(float* values, std::int64_t count);
// The inverse: with weights rotated back and inputs rotated, products are what they were.
void rotate_back(float* values, std::int64_t count);

// rotate() of one block of kVectors * 16 values in registers, with the same bits: every stage adds and subtracts the pairs that are
// `stride` apart.
template <int kVectors>
[[gnu::always_inline]] inline void rotate_block(Floats (&values)[kVectors]) {
  const auto within = [&](auto partners, Words signs) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) values[v] = partners(values[v]) + as_floats(as_words(values[v]) ^ signs);
  };
  constexpr std::uint32_t m = 0x80000000u;  // subtracts the upper value of a pair from the lower
  within([](Floats f) { return __builtin_shufflevector(f, f, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14); },
         Words{0, m, 0, m, 0, m, 0, m, 0, m, 0, m, 0, m, 0, m});
  within([](Floats f) { return __builtin_shufflevector(f, f, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13); },
         Words{0, 0, m, m, 0, 0, m, m, 0, 0, m, m, 0, 0, m, m});
  within([](Floats f) { return __builtin_shufflevector(f, f, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11); },
         Words{0, 0, 0, 0, m, m, m, m, 0, 0, 0, 0, m, m, m, m});
  within([](Floats f) { return __builtin_shufflevector(f, f, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7); },
         Words{0, 0, 0, 0, 0, 0, 0, 0, m, m, m, m, m, m, m, m});
#pragma GCC unroll 16
  for (int stride = 1; stride < kVectors; stride *= 2) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      if ((v & stride) != 0) continue;
      const Floats lower = values[v], upper = values[v + stride];
      values[v] = lower + upper;
      values[v + stride] = lower - upper;
    }
  }
}

}  // namespace slora::cpu
