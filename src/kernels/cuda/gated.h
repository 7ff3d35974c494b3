#pragma once
#include "kernels/cuda/args.h"
#include "kernels/cuda/stream.h"
#include "ops/activation.h"
#include "tensor/tensor.h"

namespace slora::cuda {

// out[t, i] = activation(gate_up[t, i]) * gate_up[t, n + i], in fp32 with one rounding. gate_up [T, 2n] bf16, out [T, n] bf16.
void gated(Stream stream, Tensor out, Tensor gate_up, Activation activation, RowCount row_count);

}  // namespace slora::cuda
