#pragma once
#include "ops/activation.h"
#include "tensor/tensor.h"

namespace slora::reference {

// Of out = activation(gate) * up, gate_up = (gate, up): d_gate = d_out * up * activation'(gate), d_up = d_out * activation(gate).
// silu'(g) = s (1 + g (1 - s)) with s = 1 / (1 + exp(-g)); gelu_tanh'(g) = (1 + t) / 2 + g / 2 (1 - t^2) u' with t = tanh(u),
// u = sqrt(2 / pi) (g + 0.044715 g^3). d_gate_up and gate_up [T, 2n] fp32, d_out [T, n] fp32.
void gated_backward(Tensor d_gate_up, Tensor d_out, Tensor gate_up, Activation activation);

}  // namespace slora::reference
