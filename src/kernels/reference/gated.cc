#include "kernels/reference/gated.h"

#include <cmath>

namespace slora::reference {

namespace {

float silu(float x) { return x / (1.0f + std::exp(-x)); }

float gelu_tanh(float x) {
  constexpr float kSqrt2OverPi = 0.7978845608028654f;
  return 0.5f * x * (1.0f + std::tanh(kSqrt2OverPi * (x + 0.044715f * x * x * x)));
}

}  // namespace

void gated(Tensor out, Tensor gate_up, Activation activation) {
  const auto function = activation == Activation::silu ? silu : gelu_tanh;
  for (std::int64_t t = 0; t < out.rows; ++t) {
    const float* gate = gate_up.row<float>(t);
    const float* up = gate + out.cols;
    for (std::int64_t i = 0; i < out.cols; ++i) out.row<float>(t)[i] = function(gate[i]) * up[i];
  }
}

}  // namespace slora::reference
