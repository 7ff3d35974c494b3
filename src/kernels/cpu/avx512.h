#pragma once
#include <immintrin.h>

#include "kernels/cpu/simd.h"

namespace slora::cpu {

// AVX-512 with VDPBF16PS and VPDPBUSD. Included only by files compiled for it.
struct Avx512 {
  static constexpr const char* kName = "avx512-bf16";
  static constexpr bool kDotsPairs = true;
  // The most rows of a tile of `vectors` x 16 columns whose sums fit the registers.
  static constexpr int rows_max(int vectors) { return vectors <= 2 ? 14 : vectors == 4 ? 6 : 3; }
  static constexpr int kTileRows = 14;
  // The same for int8 tiles, which have an integer for every sum.
  static constexpr int int8_rows_max(int vectors) { return vectors <= 2 ? 7 : vectors == 4 ? 3 : 1; }
  static constexpr int kInt8TileRows = 7;

  using TileFloats = Floats;
  using TileWords = Words;
  using TileInts = Ints;
  using TileHalves = Halves;

  // accumulator + the dot product of each lane's pairs of bf16.
  [[gnu::always_inline]] static Floats dot(Floats accumulator, Words a, Words b) {
    return __builtin_bit_cast(Floats, _mm512_dpbf16_ps(__builtin_bit_cast(__m512, accumulator), __builtin_bit_cast(__m512bh, a),
                                                       __builtin_bit_cast(__m512bh, b)));
  }
  // accumulator + the products of each lane's four bytes, unsigned in a, signed in b.
  [[gnu::always_inline]] static Ints dot_bytes(Ints accumulator, Words a, Words b) {
    return __builtin_bit_cast(Ints, _mm512_dpbusd_epi32(__builtin_bit_cast(__m512i, accumulator), __builtin_bit_cast(__m512i, a),
                                                        __builtin_bit_cast(__m512i, b)));
  }
  // Rounded to the nearest integer, ties to even. A product that was its argument is rounded first.
  [[gnu::always_inline]] static Ints nearest(Floats value) {
    return __builtin_bit_cast(Ints, _mm512_cvtps_epi32(__builtin_bit_cast(__m512, value)));
  }
  [[gnu::always_inline]] static Floats multiply_add(Floats a, Floats b, Floats c) {
    return __builtin_bit_cast(Floats,
                              _mm512_fmadd_ps(__builtin_bit_cast(__m512, a), __builtin_bit_cast(__m512, b), __builtin_bit_cast(__m512, c)));
  }
  [[gnu::always_inline]] static float sum(Floats value) { return _mm512_reduce_add_ps(__builtin_bit_cast(__m512, value)); }
  [[gnu::always_inline]] static float maximum(Floats value) { return _mm512_reduce_max_ps(__builtin_bit_cast(__m512, value)); }
  // 2^x: relative error below 3e-6, exact for 0 and -inf. Requires: x < 127 or NaN.
  [[gnu::always_inline]] static Floats exp2(Floats x) {
    constexpr int kFromFloor = 1;
    const auto r = __builtin_bit_cast(Floats, _mm512_reduce_ps(__builtin_bit_cast(__m512, x), kFromFloor));
    Floats p = broadcast(0.013426647521555424f);
    p = multiply_add(p, r, broadcast(0.05224253237247467f));
    p = multiply_add(p, r, broadcast(0.2412801831960678f));
    p = multiply_add(p, r, broadcast(0.6930448412895203f));
    p = multiply_add(p, r, broadcast(1.0f));
    return __builtin_bit_cast(Floats, _mm512_scalef_ps(__builtin_bit_cast(__m512, p), __builtin_bit_cast(__m512, x)));  // by 2^floor(x)
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
