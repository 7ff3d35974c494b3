#pragma once
#include <arm_neon.h>

#include "kernels/cpu/portable.h"

namespace slora::cpu {

// Every arm64: sixteen lanes are four of its 32 registers, and the compiler makes one instruction of each product and sum (products of
// bf16 are exact in fp32, so that changes no sum of them). Included only by the file compiled for it.
struct Neon : Portable {
  static constexpr const char* kName = "neon";
  static constexpr int rows_max(int vectors) { return 4 / vectors; }
  static constexpr int kTileRows = 4;
  static constexpr int int8_rows_max(int vectors) { return rows_max(vectors); }
  static constexpr int kInt8TileRows = kTileRows;

  // Rounded to the nearest integer, ties to even. No product before it is fused with it.
  [[gnu::always_inline]] static Ints nearest(Floats value) {
    Ints out;
    for (int i = 0; i < kLanes; i += 4) {
      const int32x4_t rounded = vcvtnq_s32_f32(vld1q_f32(reinterpret_cast<const float*>(&value) + i));
      __builtin_memcpy(reinterpret_cast<std::int32_t*>(&out) + i, &rounded, sizeof rounded);
    }
    return out;
  }
};

}  // namespace slora::cpu
