#pragma once
#include "kernels/cpu/simd.h"

namespace slora::cpu {

template <class Isa>
class GatedKernel {
 public:
  static void silu(Bfloat16* out, const float* gate, const float* up, std::int64_t count) {
    std::int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) Isa::store_bfloat16(out + i, silu(load(gate + i), load(up + i)));
    if (i == count) return;
    alignas(32) Bfloat16 last[kLanes];
    Isa::store_bfloat16(last, silu(load_head(gate + i, count - i), load_head(up + i, count - i)));
    __builtin_memcpy(out + i, last, static_cast<std::size_t>(count - i) * sizeof(Bfloat16));
  }

 private:
  using Part = typename Isa::TileFloats;

  // up * x / (1 + exp(-x)), with the exponent limited so that exp(-x) stays finite.
  [[gnu::always_inline]] static Floats silu(Floats gate, Floats up) {
    return by_parts<Isa>(
        [](Part x, Part factor) {
          const Part exponent = x * -kLog2E;
          return x / (1.0f + Isa::exp2(exponent > 126.0f ? 126.0f - Part{} : exponent)) * factor;
        },
        gate, up);
  }
};

}  // namespace slora::cpu
