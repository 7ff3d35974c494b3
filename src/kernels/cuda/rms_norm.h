#pragma once
#include "kernels/cuda/args.h"
#include "kernels/cuda/stream.h"
#include "tensor/tensor.h"

namespace slora::cuda {

// out = in / sqrt(mean(in^2) + eps) * weight for each row. in [T, hidden] fp32, out [T, hidden] bf16, weight [1, hidden] fp32.
// Requires: hidden <= 4096, or <= 32768 where all rows can be accessed 16 bytes at a time.
void rms_norm(Stream stream, Tensor out, Tensor in, Tensor weight, float eps, RowCount row_count);

// residual += x, then out = rms_norm(residual). residual [T, hidden] fp32, x and out [T, hidden] bf16.
void add_rms_norm(Stream stream, Tensor out, Tensor residual, Tensor x, Tensor weight, float eps, RowCount row_count);

// The same formula for each group of weight.cols columns: the norms of q and k heads. in and out [T, groups * size] bf16; out may be in.
// Requires: size <= 256, or <= 1024 where all groups can be accessed 16 bytes at a time.
void rms_norm_groups(Stream stream, Tensor out, Tensor in, Tensor weight, float eps, RowCount row_count);

}  // namespace slora::cuda
