#pragma once
#include "kernels/cpu/simd.h"

namespace slora::cpu {

// Operations that any compiler target has.
struct Portable {
  static constexpr const char* kName = "portable";
  static constexpr bool kDotsPairs = false;  // whether one instruction multiplies pairs of bf16
  static constexpr int kVectorRegisters = 16;
  // The most rows of a tile of `vectors` x 16 columns whose sums fit the registers; 0: not even one row.
  static constexpr int rows_max(int vectors) { return vectors == 1 ? 2 : vectors == 2 ? 1 : 0; }
  static constexpr int kTileRows = 2;
  // The same for int8 tiles, which have an integer for every sum; the sums are updated once per group and may be in memory.
  static constexpr int int8_rows_max(int vectors) { return rows_max(vectors); }
  static constexpr int kInt8TileRows = kTileRows;

  using TileFloats [[gnu::vector_size(16)]] = float;
  using TileWords [[gnu::vector_size(16)]] = std::uint32_t;
  using TileInts [[gnu::vector_size(16)]] = std::int32_t;
  using TileHalves [[gnu::vector_size(8)]] = std::uint16_t;

  // accumulator + the dot product of each lane's pairs of bf16.
  template <class Sums, class Pairs>
  [[gnu::always_inline]] static Sums dot(Sums accumulator, Pairs a, Pairs b) {
    accumulator += __builtin_bit_cast(Sums, a << 16) * __builtin_bit_cast(Sums, b << 16);
    accumulator += __builtin_bit_cast(Sums, a & 0xffff0000u) * __builtin_bit_cast(Sums, b & 0xffff0000u);
    return accumulator;
  }
  // Rounded to the nearest integer, ties to even. Requires: below 2^22.
  [[gnu::always_inline]] static Ints nearest(Floats value) {
    constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, kept in the low bits
    return __builtin_bit_cast(Ints, value + broadcast(kMagic)) - __builtin_bit_cast(std::int32_t, kMagic);
  }
  // accumulator + the products of each lane's four bytes, unsigned in a, signed in b.
  [[gnu::always_inline]] static TileInts dot_bytes(TileInts accumulator, TileWords a, TileWords b) {
    for (int shift = 0; shift < 32; shift += 8) {
      const auto signed_byte = __builtin_bit_cast(TileInts, b << (24 - shift)) >> 24;
      accumulator += __builtin_bit_cast(TileInts, a >> shift & 0xffu) * signed_byte;
    }
    return accumulator;
  }
  template <class Vector>
  [[gnu::always_inline]] static Vector multiply_add(Vector a, Vector b, Vector c) {
    return a * b + c;
  }

  [[gnu::always_inline]] static float sum(Floats value) {
    float lanes[kLanes];
    store(lanes, value);
    for (int width = kLanes / 2; width > 0; width /= 2) {
      for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
    }
    return lanes[0];
  }
  [[gnu::always_inline]] static float maximum(Floats value) {
    float lanes[kLanes];
    store(lanes, value);
    for (int width = kLanes / 2; width > 0; width /= 2) {
      for (int i = 0; i < width; ++i) lanes[i] = lanes[i] > lanes[i + width] ? lanes[i] : lanes[i + width];
    }
    return lanes[0];
  }
  [[gnu::always_inline]] static Floats exp2(Floats x) { return cpu::exp2<Portable>(x); }
  [[gnu::always_inline]] static TileFloats exp2(TileFloats x) { return exp2_part<Portable>(x); }
  // Rounds two vectors to bf16; neighbouring lanes share a word.
  [[gnu::always_inline]] static Words bfloat16_words(Floats low, Floats high) {
    Bfloat16 halves[2 * kLanes];
    store_bfloat16(halves, low);
    store_bfloat16(halves + kLanes, high);
    return load_words(halves);
  }
  [[gnu::always_inline]] static void store_bfloat16(Bfloat16* to, Floats value) {
    const Halves halves = __builtin_convertvector(rounded_to_bfloat16(value), Halves);
    __builtin_memcpy(to, &halves, sizeof halves);
  }
};

}  // namespace slora::cpu
