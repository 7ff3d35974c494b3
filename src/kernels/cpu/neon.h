#pragma once
#include <arm_neon.h>

#include "kernels/cpu/portable.h"

namespace slora::cpu {

// Every arm64: sixteen lanes are four of its 32 registers. Included only by the file compiled for it.
struct Neon : Portable {
  static constexpr const char* kName = "neon";
  static constexpr int kVectorRegisters = 32;
  static constexpr int rows_max(int vectors) { return vectors == 1 ? 6 : vectors == 2 ? 3 : vectors == 4 ? 1 : 0; }
  static constexpr int kTileRows = 6;
  static constexpr int int8_rows_max(int vectors) { return 4 / vectors; }
  static constexpr int kInt8TileRows = 4;

  // accumulator + the dot product of each lane's pairs of bf16, whose products are exact in fp32.
  template <class Sums, class Pairs>
  [[gnu::always_inline]] static Sums dot(Sums accumulator, Pairs a, Pairs b) {
    accumulator = multiply_add(__builtin_bit_cast(Sums, a << 16), __builtin_bit_cast(Sums, b << 16), accumulator);
    return multiply_add(__builtin_bit_cast(Sums, a & 0xffff0000u), __builtin_bit_cast(Sums, b & 0xffff0000u), accumulator);
  }
  // a * b + c, rounded once.
  template <class Vector>
  [[gnu::always_inline]] static Vector multiply_add(Vector a, Vector b, Vector c) {
    Vector out;
    for (std::size_t i = 0; i < sizeof(Vector) / sizeof(float32x4_t); ++i) {
      const float32x4_t part = vfmaq_f32(part_of(c, i), part_of(a, i), part_of(b, i));
      __builtin_memcpy(reinterpret_cast<float*>(&out) + i * 4, &part, sizeof part);
    }
    return out;
  }
  [[gnu::always_inline]] static Floats exp2(Floats x) { return cpu::exp2<Neon>(x); }
  [[gnu::always_inline]] static TileFloats exp2(TileFloats x) { return exp2_part<Neon>(x); }

  // Rounded to the nearest integer, ties to even.
  [[gnu::always_inline]] static Ints nearest(Floats value) {
    Ints out;
    for (std::size_t i = 0; i < 4; ++i) {
      const int32x4_t rounded = vcvtnq_s32_f32(part_of(value, i));
      __builtin_memcpy(reinterpret_cast<std::int32_t*>(&out) + i * 4, &rounded, sizeof rounded);
    }
    return out;
  }

 private:
  template <class Vector>
  [[gnu::always_inline]] static float32x4_t part_of(const Vector& value, std::size_t i) {
    float32x4_t part;
    __builtin_memcpy(&part, reinterpret_cast<const float*>(&value) + i * 4, sizeof part);
    return part;
  }
};

}  // namespace slora::cpu
