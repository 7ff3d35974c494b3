#pragma once
#include "kernels/cpu/simd.h"

namespace slora::cpu {

template <class Isa>
class GatedKernel {
 public:
  static void silu(Bfloat16* out, const float* gate, const float* up, std::int64_t count) {
    constexpr auto exponent = [](auto x) { return x * -kLog2E; };
    run(out, gate, up, count, exponent);
  }

  // x / 2 * (1 + tanh(u)) = x / (1 + exp(-2u))
  static void gelu_tanh(Bfloat16* out, const float* gate, const float* up, std::int64_t count) {
    constexpr auto exponent = [](auto x) { return x * kGeluExponent * (1.0f + 0.044715f * (x * x)); };
    run(out, gate, up, count, exponent);
  }

 private:
  using Part = typename Isa::TileFloats;
  static constexpr float kGeluExponent = -2 * 0.7978845608028654f * kLog2E;  // sqrt(2 / pi)

  template <class Exponent>
  [[gnu::always_inline]] static void run(Bfloat16* out, const float* gate, const float* up, std::int64_t count, Exponent exponent) {
    std::int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) Isa::store_bfloat16(out + i, gated(load(gate + i), load(up + i), exponent));
    if (i == count) return;
    alignas(32) Bfloat16 last[kLanes];
    Isa::store_bfloat16(last, gated(load_head(gate + i, count - i), load_head(up + i, count - i), exponent));
    __builtin_memcpy(out + i, last, static_cast<std::size_t>(count - i) * sizeof(Bfloat16));
  }

  // up * x / (1 + 2^exponent(x)), with the exponent limited so that the power stays finite.
  template <class Exponent>
  [[gnu::always_inline]] static Floats gated(Floats gate, Floats up, Exponent exponent) {
    return by_parts<Isa>(
        [exponent](Part x, Part factor) {
          const Part power = exponent(x);
          return x / (1.0f + Isa::exp2(power > 126.0f ? 126.0f - Part{} : power)) * factor;
        },
        gate, up);
  }
};

}  // namespace slora::cpu
