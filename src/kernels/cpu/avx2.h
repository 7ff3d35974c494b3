#pragma once
#include <immintrin.h>

#include "kernels/cpu/portable.h"

namespace slora::cpu {

// AVX2 with FMA: sixteen lanes are two registers, and the compiler makes one instruction of each product and sum (products of bf16
// are exact in fp32, so that changes no sum of them). Included only by the file compiled for it.
struct Avx2 : Portable {
  static constexpr const char* kName = "avx2";
  static constexpr int rows_max(int vectors) { return vectors == 1 ? 4 : vectors == 2 ? 2 : 1; }
  static constexpr int kTileRows = 4;
  static constexpr int int8_rows_max(int vectors) { return rows_max(vectors); }
  static constexpr int kInt8TileRows = kTileRows;

  using TileFloats [[gnu::vector_size(32)]] = float;
  using TileWords [[gnu::vector_size(32)]] = std::uint32_t;
  using TileInts [[gnu::vector_size(32)]] = std::int32_t;
  using TileHalves [[gnu::vector_size(16)]] = std::uint16_t;

  // Rounded to the nearest integer, ties to even. No product before it is fused with it.
  [[gnu::always_inline]] static Ints nearest(Floats value) {
    Ints out;
    for (int i = 0; i < kLanes; i += 8) {
      __m256 part;
      __builtin_memcpy(&part, reinterpret_cast<const float*>(&value) + i, sizeof part);
      const __m256i rounded = _mm256_cvtps_epi32(part);
      __builtin_memcpy(reinterpret_cast<std::int32_t*>(&out) + i, &rounded, sizeof rounded);
    }
    return out;
  }

  // Even and odd bytes as words of 16 bits: the instruction that takes bytes would saturate.
  [[gnu::always_inline]] static TileInts dot_bytes(TileInts accumulator, TileWords a, TileWords b) {
    const auto wide_a = __builtin_bit_cast(__m256i, a);
    const auto wide_b = __builtin_bit_cast(__m256i, b);
    const __m256i even =
        _mm256_madd_epi16(_mm256_and_si256(wide_a, _mm256_set1_epi16(0xff)), _mm256_srai_epi16(_mm256_slli_epi16(wide_b, 8), 8));
    const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(wide_a, 8), _mm256_srai_epi16(wide_b, 8));
    return accumulator + __builtin_bit_cast(TileInts, even) + __builtin_bit_cast(TileInts, odd);
  }
};

}  // namespace slora::cpu
