#pragma once
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/thread_pool.h"
#include "ops/activation.h"

namespace slora::cpu {

// out[t, i] = activation(gate_up[t, i]) * gate_up[t, n + i], with the bits of Linear::run_gated. out [T, n] bf16, gate_up [T, 2n] fp32.
void gated(const Kernels& kernels, ThreadPool& pool, Tensor out, Tensor gate_up, Activation activation);

// d_gate_up [T, 2n] of d_out [T, n], all fp32.
void gated_backward(const Kernels& kernels, ThreadPool& pool, Tensor d_gate_up, Tensor d_out, Tensor gate_up, Activation activation);

}  // namespace slora::cpu
