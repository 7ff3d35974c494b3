#pragma once
#include "kernels/cpu/avx512_vnni.h"

namespace slora::cpu {

// AVX-512 with VDPBF16PS and VPDPBUSD. Included only by files compiled for it.
struct Avx512 : Avx512Vnni {
  static constexpr const char* kName = "avx512-bf16";
  static constexpr bool kDotsPairs = true;
  // The most rows of a tile of `vectors` x 16 columns whose sums fit the registers.
  static constexpr int rows_max(int vectors) { return vectors <= 2 ? 14 : vectors == 4 ? 6 : 3; }
  static constexpr int kTileRows = 14;

  // accumulator + the dot product of each lane's pairs of bf16.
  [[gnu::always_inline]] static Floats dot(Floats accumulator, Words a, Words b) {
    return __builtin_bit_cast(Floats, _mm512_dpbf16_ps(__builtin_bit_cast(__m512, accumulator), __builtin_bit_cast(__m512bh, a),
                                                       __builtin_bit_cast(__m512bh, b)));
  }
  // Rounds two vectors to bf16; neighbouring lanes share a word.
  [[gnu::always_inline]] static Words bfloat16_words(Floats low, Floats high) {
    return __builtin_bit_cast(Words, _mm512_cvtne2ps_pbh(__builtin_bit_cast(__m512, high), __builtin_bit_cast(__m512, low)));
  }
  [[gnu::always_inline]] static void store_bfloat16(Bfloat16* to, Floats value) {
    const __m256bh halves = _mm512_cvtneps_pbh(__builtin_bit_cast(__m512, value));
    __builtin_memcpy(to, &halves, sizeof halves);
  }
};

}  // namespace slora::cpu
