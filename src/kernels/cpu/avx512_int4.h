#pragma once
#include "kernels/cpu/avx512.h"
#include "kernels/cpu/int4_isa.h"

namespace slora::cpu {

template <>
struct Int4Isa<Avx512> {
  // One row less than in 8 bits: words of levels stay in registers while both halves are multiplied.
  static constexpr int rows_max(int vectors) { return vectors <= 2 ? 6 : vectors == 4 ? 3 : 1; }
  static constexpr int kTileRows = 6;

  [[gnu::always_inline]] static Ints dot(Ints accumulator, Words a, Words b) { return Avx512::dot_bytes(accumulator, a, b); }
  [[gnu::always_inline]] static Floats widen(Halves halves) {
    return __builtin_bit_cast(Floats, _mm512_cvtph_ps(__builtin_bit_cast(__m256i, halves)));
  }
};

}  // namespace slora::cpu
