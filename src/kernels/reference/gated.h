#pragma once
#include "ops/activation.h"
#include "tensor/tensor.h"

namespace slora::reference {

// out[t, i] = activation(gate_up[t, i]) * gate_up[t, n + i]; silu(g) = g / (1 + exp(-g)). gate_up [T, 2n] fp32, out [T, n] fp32.
void gated(Tensor out, Tensor gate_up, Activation activation);

}  // namespace slora::reference
