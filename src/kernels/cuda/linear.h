#pragma once
#include "kernels/cuda/args.h"
#include "kernels/cuda/stream.h"
#include "tensor/tensor.h"

namespace slora::cuda {

// y[t, :] = W x[t, :] + bias, summed in fp32 over k in ascending order, so that a row's result does not depend on the other rows or their
// number, with one rounding. x [T, in] bf16, W [out, in] bf16, bias [out] fp32 in device memory or null, y [T, out] bf16 or fp32. Requires:
// rows of x, W and y begin at multiples of 4 bytes; 16 are faster.
void linear(Stream stream, Tensor y, Tensor x, Tensor weight, const float* bias, RowCount row_count);

}  // namespace slora::cuda
