#include "kernels/reference/gated_backward.h"

#include <cmath>

namespace slora::reference {
namespace {

struct Gate {
  float value, slope;  // of the activation
};

Gate silu_gate(float x) {
  const float sigmoid = 1.0f / (1.0f + std::exp(-x));
  return {x * sigmoid, sigmoid * (1.0f + x * (1.0f - sigmoid))};
}

Gate gelu_tanh_gate(float x) {
  constexpr float kSqrt2OverPi = 0.7978845608028654f;
  const float tanh = std::tanh(kSqrt2OverPi * (x + 0.044715f * x * x * x));
  const float inner_slope = kSqrt2OverPi * (1.0f + 3.0f * 0.044715f * x * x);
  return {0.5f * x * (1.0f + tanh), 0.5f * (1.0f + tanh) + 0.5f * x * (1.0f - tanh * tanh) * inner_slope};
}

}  // namespace

void gated_backward(Tensor d_gate_up, Tensor d_out, Tensor gate_up, Activation activation) {
  const auto function = activation == Activation::silu ? silu_gate : gelu_tanh_gate;
  const std::int64_t n = d_out.cols;
  for (std::int64_t t = 0; t < d_out.rows; ++t) {
    const float *gate = gate_up.row<float>(t), *up = gate + n, *dy = d_out.row<float>(t);
    float* dx = d_gate_up.row<float>(t);
    for (std::int64_t i = 0; i < n; ++i) {
      const Gate at = function(gate[i]);
      dx[i] = dy[i] * up[i] * at.slope;
      dx[n + i] = dy[i] * at.value;
    }
  }
}

}  // namespace slora::reference
