#pragma once
#include <immintrin.h>

#include "kernels/cpu/portable.h"

namespace slora::cpu {

// AVX-512 without the bf16 extension: sixteen lanes are one register. Included only by the file compiled for it.
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
  [[gnu::always_inline]] static Floats exp2(Floats x) { return cpu::exp2<Avx512F>(x); }

  // Rounded to the nearest integer, ties to even.
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
