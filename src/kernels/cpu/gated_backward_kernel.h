#pragma once
#include "kernels/cpu/simd.h"

namespace slora::cpu {

// Of out = activation(gate) * up with activation(x) = x s(x), s(x) = 1 / (1 + exp(-e(x))): d_up = d_out x s, and
// d_gate = d_out up s (1 + x e'(x) (1 - s)). silu has e(x) = x, gelu_tanh e(x) = 2 sqrt(2 / pi) (x + 0.044715 x^3).
template <class Isa>
class GatedBackwardKernel {
 public:
  static void silu(float* d_gate, float* d_up, const float* d_out, const float* gate, const float* up, std::int64_t count) {
    constexpr auto exponent = [](auto x) { return x; };
    constexpr auto slope = [](auto x) { return 1.0f - decltype(x){}; };
    run(d_gate, d_up, d_out, gate, up, count, exponent, slope);
  }

  static void gelu_tanh(float* d_gate, float* d_up, const float* d_out, const float* gate, const float* up, std::int64_t count) {
    constexpr auto exponent = [](auto x) { return x * kGeluSlope * (1.0f + 0.044715f * (x * x)); };
    constexpr auto slope = [](auto x) { return kGeluSlope * (1.0f + 3 * 0.044715f * (x * x)); };
    run(d_gate, d_up, d_out, gate, up, count, exponent, slope);
  }

 private:
  using Part = typename Isa::TileFloats;
  static constexpr float kGeluSlope = 2 * 0.7978845608028654f;  // of the exponent at 0: 2 sqrt(2 / pi)

  template <class Exponent, class Slope>
  [[gnu::always_inline]] static void run(float* d_gate, float* d_up, const float* d_out, const float* gate, const float* up,
                                         std::int64_t count, Exponent exponent, Slope slope) {
    const auto shares = [exponent](Part x) {
      const Part power = exponent(x) * -kLog2E;
      return 1.0f / (1.0f + exp2_part<Isa>(power > 126.0f ? 126.0f - Part{} : power));
    };
    const auto gate_slopes = [exponent, slope](Part x, Part share) {
      const Part power = exponent(x) * -kLog2E;
      const Part rest = exp2_part<Isa>(power > 126.0f ? 126.0f - Part{} : power) * share;
      return share * (1.0f + x * slope(x) * rest);
    };
    for (std::int64_t i = 0; i < count; i += kLanes) {
      const std::int64_t left = count - i;
      const auto at = [left, i](const float* from) { return left >= kLanes ? load(from + i) : load_head(from + i, left); };
      const Floats x = at(gate), d = at(d_out), share = by_parts<Isa>(shares, x);
      const Floats for_gate = d * at(up) * by_parts<Isa>(gate_slopes, x, share), for_up = d * x * share;
      if (left >= kLanes) {
        store(d_gate + i, for_gate);
        store(d_up + i, for_up);
      } else {
        store_head(d_gate + i, for_gate, left);
        store_head(d_up + i, for_up, left);
      }
    }
  }
};

}  // namespace slora::cpu
