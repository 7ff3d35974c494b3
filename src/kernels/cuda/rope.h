#pragma once
#include "kernels/cuda/args.h"
#include "kernels/cuda/stream.h"
#include "tensor/tensor.h"

namespace slora::cuda {

// Rotates every head of x [T, heads * 2 * half] bf16 in place by its row's position: with a = x[i], b = x[half + i] of a head,
// x[i] = a cos - b sin and x[half + i] = b cos + a sin. cos and sin [positions, half] fp32; positions [T] in device memory.
void rope(Stream stream, Tensor x, const std::int32_t* positions, Tensor cos, Tensor sin, RowCount row_count);

}  // namespace slora::cuda
