#pragma once
#include "kernels/cpu/avx2.h"
#include "kernels/cpu/int4_isa.h"

namespace slora::cpu {

template <>
struct Int4Isa<Avx2> {
  static constexpr int rows_max(int vectors) { return Avx2::int8_rows_max(vectors); }
  static constexpr int kTileRows = Avx2::kInt8TileRows;

  // Sums of two products of bytes, at most 2 * 15 * 127, do not saturate.
  [[gnu::always_inline]] static Avx2::TileInts dot(Avx2::TileInts accumulator, Avx2::TileWords a, Avx2::TileWords b) {
    const __m256i pairs = _mm256_maddubs_epi16(__builtin_bit_cast(__m256i, a), __builtin_bit_cast(__m256i, b));
    return accumulator + __builtin_bit_cast(Avx2::TileInts, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  [[gnu::always_inline]] static Avx2::TileFloats widen(Avx2::TileHalves halves) {
    return widen_halves<Avx2::TileFloats, Avx2::TileWords>(halves);
  }
};

}  // namespace slora::cpu
