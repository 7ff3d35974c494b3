#pragma once
#include "ops/activation.h"
#include "tensor/tensor.h"

namespace slora::reference {

// out[t, i] = activation(gate_up[t, i]) * gate_up[t, n + i]; silu(g) = g / (1 + exp(-g)), gelu_tanh(g) =
// g / 2 * (1 + tanh(sqrt(2 / pi) * (g + 0.044715 g^3))). gate_up [T, 2n] fp32, out [T, n] fp32.
void gated(Tensor out, Tensor gate_up, Activation activation);

}  // namespace slora::reference
