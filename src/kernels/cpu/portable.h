#pragma once
#include "kernels/cpu/simd.h"

namespace slora::cpu {

// What any compiler target can do.
struct Portable {
  static constexpr const char* kName = "portable";
  // Most rows of a tile of `vectors` x 16 columns that leaves the sums in registers; 0: not even one.
  static constexpr int rows_max(int vectors) { return vectors == 1 ? 2 : vectors == 2 ? 1 : 0; }
  static constexpr int kTileRows = 2;

  using TileFloats [[gnu::vector_size(16)]] = float;
  using TileWords [[gnu::vector_size(16)]] = std::uint32_t;

  // accumulator + the dot product of each lane's pairs of bf16.
  template <class Sums, class Pairs>
  [[gnu::always_inline]] static Sums dot(Sums accumulator, Pairs a, Pairs b) {
    accumulator += __builtin_bit_cast(Sums, a << 16) * __builtin_bit_cast(Sums, b << 16);
    accumulator += __builtin_bit_cast(Sums, a & 0xffff0000u) * __builtin_bit_cast(Sums, b & 0xffff0000u);
    return accumulator;
  }
  [[gnu::always_inline]] static Floats multiply_add(Floats a, Floats b, Floats c) { return a * b + c; }

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
  // Two vectors rounded to bf16, neighbours in one word.
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
