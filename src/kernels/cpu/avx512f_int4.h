#pragma once
#include "kernels/cpu/avx512f.h"
#include "kernels/cpu/int4_isa.h"

namespace slora::cpu {

template <>
struct Int4Isa<Avx512F> {
  // One row less than in 8 bits: words of levels stay in registers while both halves are multiplied.
  static constexpr int rows_max(int vectors) { return vectors <= 2 ? 6 : vectors == 4 ? 3 : 1; }
  static constexpr int kTileRows = 6;

  // Sums of two products of bytes, at most 2 * 15 * 127, do not saturate.
  [[gnu::always_inline]] static Ints dot(Ints accumulator, Words a, Words b) {
    const __m512i pairs = _mm512_maddubs_epi16(__builtin_bit_cast(__m512i, a), __builtin_bit_cast(__m512i, b));
    return accumulator + __builtin_bit_cast(Ints, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
  }
  [[gnu::always_inline]] static Floats widen(Halves halves) {
    return __builtin_bit_cast(Floats, _mm512_cvtph_ps(__builtin_bit_cast(__m256i, halves)));
  }
};

}  // namespace slora::cpu
