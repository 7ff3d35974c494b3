#pragma once
#include "kernels/cuda/lora_args.h"
#include "kernels/cuda/stream.h"
#include "tensor/tensor.h"

namespace slora::cuda {

// y[t, slice] += weight * (scale * B z[t, z columns] + bias) for the rows of every item and each of its uses, less the base's bias where
// the record's replaces it, in fp32 with one rounding. y [T, outputs] fp32 or bf16.
void expand(Stream stream, Tensor y, const ExpandArgs& args, std::int32_t blocks);

}  // namespace slora::cuda
