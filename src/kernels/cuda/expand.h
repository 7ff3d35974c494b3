#pragma once
#include "kernels/cuda/lora_args.h"
#include "kernels/cuda/stream.h"
#include "tensor/tensor.h"

namespace slora::cuda {

// y[t, slice] = gain * (y - base bias + weight * scale * delta_gain * B z[t, z columns]) + base bias + weight * bias for the rows of every
// item, with the sum over its uses in both places, in fp32 with one rounding. A bias that replaces the base's stands instead of it,
// whatever the weight. y [T, outputs] fp32 or bf16.
void expand(Stream stream, Tensor y, const ExpandArgs& args, std::int32_t blocks);

}  // namespace slora::cuda
