#pragma once
#include "kernels/cuda/args.h"
#include "kernels/cuda/stream.h"
#include "tensor/tensor.h"

namespace slora::cuda {

// Writes k and v [T, kv_heads * head_dim] bf16 of every span's rows into the span's pages. Rows in no span
// are padding.
void store_kv(Stream stream, const KvPages& layer, Tensor k, Tensor v, const StepSpans& spans);

}  // namespace slora::cuda
