#pragma once
#include <immintrin.h>

#include "kernels/cpu/portable.h"

namespace slora::cpu {

// AVX-512 F, BW, VL and DQ: sixteen lanes are one register. Included only by files compiled for it, or for more.
struct Avx512F : Portable {
  static constexpr const char* kName = "avx512";
  static constexpr int kVectorRegisters = 32;
  static constexpr int rows_max(int vectors) { return vectors <= 2 ? 12 : vectors == 4 ? 5 : 2; }
  static constexpr int kTileRows = 12;
  static constexpr int int8_rows_max(int vectors) { return vectors <= 2 ? 7 : vectors == 4 ? 3 : 1; }
  static constexpr int kInt8TileRows = 7;

  using TileFloats = Floats;
  using TileWords = Words;
  using TileInts = Ints;
  using TileHalves = Halves;

  // accumulator + the dot product of each lane's pairs of bf16, whose products are exact in fp32.
  [[gnu::always_inline]] static Floats dot(Floats accumulator, Words a, Words b) {
    accumulator = multiply_add(as_floats(a << 16), as_floats(b << 16), accumulator);
    return multiply_add(as_floats(a & 0xffff0000u), as_floats(b & 0xffff0000u), accumulator);
  }
  // a * b + c, rounded once.
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

  // Rounded to the nearest integer, ties to even. A product that was its argument is rounded first.
  [[gnu::always_inline]] static Ints nearest(Floats value) {
    return __builtin_bit_cast(Ints, _mm512_cvtps_epi32(__builtin_bit_cast(__m512, value)));
  }

  // Multiplies even and odd bytes as 16-bit integers, since the instruction for bytes would saturate.
  [[gnu::always_inline]] static Ints dot_bytes(Ints accumulator, Words a, Words b) {
    const auto wide_a = __builtin_bit_cast(__m512i, a);
    const auto wide_b = __builtin_bit_cast(__m512i, b);
    const __m512i even =
        _mm512_madd_epi16(_mm512_and_si512(wide_a, _mm512_set1_epi16(0xff)), _mm512_srai_epi16(_mm512_slli_epi16(wide_b, 8), 8));
    const __m512i odd = _mm512_madd_epi16(_mm512_srli_epi16(wide_a, 8), _mm512_srai_epi16(wide_b, 8));
    return accumulator + __builtin_bit_cast(Ints, even) + __builtin_bit_cast(Ints, odd);
  }
};

}  // namespace slora::cpu
