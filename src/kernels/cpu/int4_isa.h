#pragma once
#include "kernels/cpu/simd.h"

namespace slora::cpu {

// The values of f16.
template <class Sums, class Bits, class Halfs>
[[gnu::always_inline]] inline Sums widen_halves(Halfs halves) {
  const Bits bits = __builtin_convertvector(halves, Bits);
  const Bits magnitude = (bits & 0x7fffu) << 13;
  const Sums scaled = __builtin_bit_cast(Sums, magnitude) * 0x1p112f;  // the exponent of fp32, also of numbers below the normal ones
  const Bits value = magnitude >= 0x0f800000u ? magnitude | 0x7f800000u : __builtin_bit_cast(Bits, scaled);
  return __builtin_bit_cast(Sums, value | (bits & 0x8000u) << 16);
}

// What products with an Int4Weight need of an instruction set besides its own operations; sets that have better ones specialise this.
template <class Isa>
struct Int4Isa {
  static constexpr int rows_max(int vectors) { return Isa::int8_rows_max(vectors); }
  static constexpr int kTileRows = Isa::kInt8TileRows;

  // accumulator + the products of each lane's four bytes, 0 to 15 in a, signed in b.
  [[gnu::always_inline]] static typename Isa::TileInts dot(typename Isa::TileInts accumulator, typename Isa::TileWords a,
                                                           typename Isa::TileWords b) {
    return Isa::dot_bytes(accumulator, a, b);
  }
  [[gnu::always_inline]] static typename Isa::TileFloats widen(typename Isa::TileHalves halves) {
    return widen_halves<typename Isa::TileFloats, typename Isa::TileWords>(halves);
  }
};

}  // namespace slora::cpu
