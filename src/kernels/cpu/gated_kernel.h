#pragma once
#include "kernels/cpu/simd.h"

namespace slora::cpu {

template <class Isa>
class GatedKernel {
 public:
  static void silu(Bfloat16* out, const float* gate, const float* up, std::int64_t count) {
    run(out, gate, up, count, [](Floats x) { return over_one_plus_exp(x, x * -kLog2E); });
  }

  // x / 2 * (1 + tanh(u)) = x / (1 + exp(-2u))
  static void gelu_tanh(Bfloat16* out, const float* gate, const float* up, std::int64_t count) {
    constexpr float kFactor = -2 * 0.7978845608028654f * kLog2E;  // sqrt(2 / pi)
    run(out, gate, up, count, [](Floats x) { return over_one_plus_exp(x, x * kFactor * (1.0f + 0.044715f * (x * x))); });
  }

 private:
  template <class Function>
  [[gnu::always_inline]] static void run(Bfloat16* out, const float* gate, const float* up, std::int64_t count, Function function) {
    std::int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) Isa::store_bfloat16(out + i, function(load(gate + i)) * load(up + i));
    if (i == count) return;
    alignas(32) Bfloat16 last[kLanes];
    Isa::store_bfloat16(last, function(load_head(gate + i, count - i)) * load_head(up + i, count - i));
    __builtin_memcpy(out + i, last, static_cast<std::size_t>(count - i) * sizeof(Bfloat16));
  }

  // x / (1 + 2^exponent), with the exponent limited so that the power stays finite.
  [[gnu::always_inline]] static Floats over_one_plus_exp(Floats x, Floats exponent) {
    return x / (1.0f + Isa::exp2(exponent > 126.0f ? broadcast(126.0f) : exponent));
  }
};

}  // namespace slora::cpu
