#pragma once
#include "kernels/cuda/stream.h"
#include "tensor/tensor.h"

namespace slora::cuda {

// Sets every element to `value`. out in fp32 or bf16.
void fill(Stream stream, Tensor out, float value);

}  // namespace slora::cuda
