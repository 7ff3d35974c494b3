#pragma once
#include "base/activation.h"
#include "kernels/cpu/kernels.h"

namespace slora::cpu {

// out[t, i] = activation(gate_up[t, i]) * gate_up[t, n + i]. gate_up [T, 2n] fp32, out [T, n] bf16.
void gated(const Kernels& kernels, ThreadPool& pool, Tensor out, Tensor gate_up, Activation activation);

}  // namespace slora::cpu
