#pragma once
#include <immintrin.h>

#include "kernels/cpu/portable.h"

namespace slora::cpu {

// AVX2 with FMA: sixteen lanes are two registers. Included only by the file compiled for it.
struct Avx2 : Portable {
  static constexpr const char* kName = "avx2";
  static constexpr int rows_max(int vectors) { return vectors == 1 ? 6 : vectors == 2 ? 3 : 1; }
  static constexpr int kTileRows = 6;
  static constexpr int int8_rows_max(int vectors) { return vectors == 1 ? 4 : vectors == 2 ? 2 : 1; }
  static constexpr int kInt8TileRows = 4;

  using TileFloats [[gnu::vector_size(32)]] = float;
  using TileWords [[gnu::vector_size(32)]] = std::uint32_t;
  using TileInts [[gnu::vector_size(32)]] = std::int32_t;
  using TileHalves [[gnu::vector_size(16)]] = std::uint16_t;

  // Splits sixteen lanes into two registers and joins them; written as copies of memory, which compilers optimise away.
  template <class Half, class Vector>
  [[gnu::always_inline]] static Half low(const Vector& value) {
    Half half;
    __builtin_memcpy(&half, &value, sizeof half);
    return half;
  }
  template <class Half, class Vector>
  [[gnu::always_inline]] static Half high(const Vector& value) {
    Half half;
    __builtin_memcpy(&half, reinterpret_cast<const std::byte*>(&value) + sizeof half, sizeof half);
    return half;
  }
  template <class Vector, class Half>
  [[gnu::always_inline]] static Vector join(Half low, Half high) {
    Vector out;
    __builtin_memcpy(&out, &low, sizeof low);
    __builtin_memcpy(reinterpret_cast<std::byte*>(&out) + sizeof low, &high, sizeof high);
    return out;
  }

  // accumulator + the dot product of each lane's pairs of bf16, whose products are exact in fp32.
  [[gnu::always_inline]] static TileFloats dot(TileFloats accumulator, TileWords a, TileWords b) {
    accumulator = multiply_add(__builtin_bit_cast(TileFloats, a << 16), __builtin_bit_cast(TileFloats, b << 16), accumulator);
    return multiply_add(__builtin_bit_cast(TileFloats, a & 0xffff0000u), __builtin_bit_cast(TileFloats, b & 0xffff0000u), accumulator);
  }
  [[gnu::always_inline]] static Floats dot(Floats accumulator, Words a, Words b) {
    return join<Floats>(dot(low<TileFloats>(accumulator), low<TileWords>(a), low<TileWords>(b)),
                        dot(high<TileFloats>(accumulator), high<TileWords>(a), high<TileWords>(b)));
  }
  // a * b + c, rounded once.
  [[gnu::always_inline]] static TileFloats multiply_add(TileFloats a, TileFloats b, TileFloats c) {
    return __builtin_bit_cast(TileFloats,
                              _mm256_fmadd_ps(__builtin_bit_cast(__m256, a), __builtin_bit_cast(__m256, b), __builtin_bit_cast(__m256, c)));
  }
  [[gnu::always_inline]] static Floats multiply_add(Floats a, Floats b, Floats c) {
    return join<Floats>(multiply_add(low<TileFloats>(a), low<TileFloats>(b), low<TileFloats>(c)),
                        multiply_add(high<TileFloats>(a), high<TileFloats>(b), high<TileFloats>(c)));
  }
  [[gnu::always_inline]] static Floats exp2(Floats x) { return cpu::exp2<Avx2>(x); }
  [[gnu::always_inline]] static TileFloats exp2(TileFloats x) { return exp2_part<Avx2>(x); }

  // Rounded to the nearest integer, ties to even.
  [[gnu::always_inline]] static TileInts nearest(TileFloats value) {
    return __builtin_bit_cast(TileInts, _mm256_cvtps_epi32(__builtin_bit_cast(__m256, value)));
  }
  [[gnu::always_inline]] static Ints nearest(Floats value) {
    return join<Ints>(nearest(low<TileFloats>(value)), nearest(high<TileFloats>(value)));
  }

  // The same orders as Portable's.
  [[gnu::always_inline]] static float sum(Floats value) {
    const TileFloats eights = low<TileFloats>(value) + high<TileFloats>(value);
    Quad fours = quad(eights, 0) + quad(eights, 1);
    fours = fours + __builtin_shufflevector(fours, fours, 2, 3, 2, 3);
    return fours[0] + fours[1];
  }
  [[gnu::always_inline]] static float maximum(Floats value) {
    const auto larger_of = [](auto a, auto b) { return a > b ? a : b; };
    const TileFloats eights = larger_of(low<TileFloats>(value), high<TileFloats>(value));
    Quad fours = larger_of(quad(eights, 0), quad(eights, 1));
    fours = larger_of(fours, __builtin_shufflevector(fours, fours, 2, 3, 2, 3));
    return fours[0] > fours[1] ? fours[0] : fours[1];
  }

  // Rounds two vectors to bf16; neighbouring lanes share a word.
  [[gnu::always_inline]] static Words bfloat16_words(Floats low, Floats high) {
    return join<Words>(bfloat16_halves(low), bfloat16_halves(high));
  }
  [[gnu::always_inline]] static void store_bfloat16(Bfloat16* to, Floats value) {
    const __m256i halves = bfloat16_halves(value);
    __builtin_memcpy(to, &halves, sizeof halves);
  }

  // Multiplies even and odd bytes as 16-bit integers, since the instruction for bytes would saturate.
  [[gnu::always_inline]] static TileInts dot_bytes(TileInts accumulator, TileWords a, TileWords b) {
    const auto wide_a = __builtin_bit_cast(__m256i, a);
    const auto wide_b = __builtin_bit_cast(__m256i, b);
    const __m256i even =
        _mm256_madd_epi16(_mm256_and_si256(wide_a, _mm256_set1_epi16(0xff)), _mm256_srai_epi16(_mm256_slli_epi16(wide_b, 8), 8));
    const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(wide_a, 8), _mm256_srai_epi16(wide_b, 8));
    return accumulator + __builtin_bit_cast(TileInts, even) + __builtin_bit_cast(TileInts, odd);
  }

 private:
  using Quad [[gnu::vector_size(16)]] = float;

  [[gnu::always_inline]] static Quad quad(const TileFloats& value, int index) {
    Quad part;
    __builtin_memcpy(&part, reinterpret_cast<const std::byte*>(&value) + index * static_cast<int>(sizeof part), sizeof part);
    return part;
  }

  // As rounded_to_bfloat16.
  [[gnu::always_inline]] static __m256i rounded(TileFloats value) {
    const auto bits = __builtin_bit_cast(TileWords, value);
    const TileWords nearest = (bits + (0x7fffu + ((bits >> 16) & 1u))) >> 16;
    return __builtin_bit_cast(__m256i, value == value ? nearest : (bits >> 16) | 0x40u);
  }
  [[gnu::always_inline]] static __m256i bfloat16_halves(const Floats& value) {
    constexpr int kInOrder = 0xd8;  // packing takes turns between the 128-bit halves of its arguments
    const __m256i halves = _mm256_packus_epi32(rounded(low<TileFloats>(value)), rounded(high<TileFloats>(value)));
    return _mm256_permute4x64_epi64(halves, kInOrder);
  }
};

}  // namespace slora::cpu
