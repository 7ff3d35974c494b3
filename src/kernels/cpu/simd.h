#pragma once
#include <cstdint>

#include "tensor/dtype.h"

namespace slora::cpu {

// Vectors of sixteen lanes as compiler extensions: one AVX-512 register, or several narrower ones. Kernels are written once over them and
// compiled for each instruction set; only a few operations, above all the product of bf16 pairs, are specific to a set (portable.h,
// avx512.h). Everything here is always inlined, so that the linker never merges code of different instruction sets.
inline constexpr int kLanes = 16;

using Floats [[gnu::vector_size(64)]] = float;
using Words [[gnu::vector_size(64)]] = std::uint32_t;  // each a pair of bf16: the element of the lower index in the low half
using Ints [[gnu::vector_size(64)]] = std::int32_t;
using Halves [[gnu::vector_size(32)]] = std::uint16_t;

// Instead of std::min and std::max: if not inlined, those would be shared functions, compiled for one of the instruction sets.
[[gnu::always_inline]] constexpr std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
[[gnu::always_inline]] constexpr std::int64_t greatest(std::int64_t a, std::int64_t b) { return a > b ? a : b; }

[[gnu::always_inline]] inline Floats load(const float* from) {
  Floats out;
  __builtin_memcpy(&out, from, sizeof out);
  return out;
}
[[gnu::always_inline]] inline void store(float* to, Floats value) { __builtin_memcpy(to, &value, sizeof value); }

// The first `count` lanes, the others 0.
[[gnu::always_inline]] inline Floats load_head(const float* from, std::int64_t count) {
  Floats out = {};
  __builtin_memcpy(&out, from, static_cast<std::size_t>(count) * sizeof(float));
  return out;
}
[[gnu::always_inline]] inline void store_head(float* to, Floats value, std::int64_t count) {
  __builtin_memcpy(to, &value, static_cast<std::size_t>(count) * sizeof(float));
}

[[gnu::always_inline]] inline Words load_words(const void* from) {
  Words out;
  __builtin_memcpy(&out, from, sizeof out);
  return out;
}
[[gnu::always_inline]] inline void store_words(void* to, Words value) { __builtin_memcpy(to, &value, sizeof value); }
// The first `bytes` of a vector, the rest 0.
[[gnu::always_inline]] inline Words load_words_head(const void* from, std::int64_t bytes) {
  Words out = {};
  __builtin_memcpy(&out, from, static_cast<std::size_t>(bytes));
  return out;
}

[[gnu::always_inline]] inline Floats broadcast(float x) { return Floats{x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
[[gnu::always_inline]] inline Words broadcast_word(std::uint32_t x) { return Words{x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }

[[gnu::always_inline]] inline Floats as_floats(Words bits) { return __builtin_bit_cast(Floats, bits); }
[[gnu::always_inline]] inline Words as_words(Floats value) { return __builtin_bit_cast(Words, value); }

// fn of each part of the vectors that is a register of the instruction set. Where that is narrower, compilers do worse with whole vectors:
// they keep them in memory, and choose and shuffle lane by lane.
template <class Isa, class Function, class... Vectors>
[[gnu::always_inline]] inline Floats by_parts(Function fn, const Vectors&... vectors) {
  using Part = typename Isa::TileFloats;
  Floats out;
#pragma GCC unroll 4
  for (std::size_t at = 0; at < sizeof out; at += sizeof(Part)) {
    const auto part_of = [at](const Floats& vector) {
      Part part;
      __builtin_memcpy(&part, reinterpret_cast<const char*>(&vector) + at, sizeof part);
      return part;
    };
    const Part part = fn(part_of(vectors)...);
    __builtin_memcpy(reinterpret_cast<char*>(&out) + at, &part, sizeof part);
  }
  return out;
}

template <class Isa>
[[gnu::always_inline]] inline Floats larger(Floats a, Floats b) {
  using Part = typename Isa::TileFloats;
  return by_parts<Isa>([](Part x, Part y) { return x > y ? x : y; }, a, b);
}

// The bits of the nearest bf16 in the low half of each lane, ties to even; NaN stays NaN.
[[gnu::always_inline]] inline Words rounded_to_bfloat16(Floats value) {
  const Words bits = as_words(value);
  const Words rounded = (bits + (0x7fffu + ((bits >> 16) & 1u))) >> 16;
  return value == value ? rounded : (bits >> 16) | 0x40u;
}

// 2^x: relative error below 3e-7, exactly 0 below -126 and for -inf. Requires: x < 127 or NaN. The same operations in the same order in
// every lane.
template <class Isa>
[[gnu::always_inline]] inline typename Isa::TileFloats exp2_part(typename Isa::TileFloats x) {
  using Part = typename Isa::TileFloats;
  using Bits = typename Isa::TileWords;
  const auto all = [](float value) { return value - Part{}; };
  const Part magic = all(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer, kept in the low bits
  const Part clamped = x < -126.0f ? all(-126.0f) : x;
  const Part shifted = clamped + magic;
  const Part r = clamped - (shifted - magic);
  Part p = all(1.535336188319500e-4f);
  p = Isa::multiply_add(p, r, all(1.339887440266574e-3f));
  p = Isa::multiply_add(p, r, all(9.618437357674640e-3f));
  p = Isa::multiply_add(p, r, all(5.550332471162809e-2f));
  p = Isa::multiply_add(p, r, all(2.402264791363012e-1f));
  p = Isa::multiply_add(p, r, all(6.931472028550421e-1f));
  p = Isa::multiply_add(p, r, all(1.0f));
  const Part power = __builtin_bit_cast(Part, __builtin_bit_cast(Bits, p) + (__builtin_bit_cast(Bits, shifted) << 23));
  return x < -126.0f ? Part{} : power;
}
template <class Isa>
[[gnu::always_inline]] inline Floats exp2(Floats x) {
  return by_parts<Isa>([](typename Isa::TileFloats part) { return exp2_part<Isa>(part); }, x);
}

// sum [count] += x [count]
[[gnu::always_inline]] inline void add_values(float* sum, const float* x, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(sum + i, load(sum + i) + load(x + i));
  if (i < count) store_head(sum + i, load_head(sum + i, count - i) + load_head(x + i, count - i), count - i);
}

inline constexpr float kLog2E = 1.44269504088896340736f;

}  // namespace slora::cpu
