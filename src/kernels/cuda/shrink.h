#pragma once
#include "kernels/cuda/lora_args.h"
#include "kernels/cuda/stream.h"
#include "tensor/tensor.h"

namespace slora::cuda {

// z[t, z columns] = rank_gain[j] * sum over k of A[j, k] x[t, k] for every item, with the records of `layer`. x [T, in] bf16, z [T, z
// columns] fp32; what no item names is not written. `list` is in device memory.
void shrink(Stream stream, Tensor z, Tensor x, const ShrinkList* list, std::int32_t layer, std::int32_t blocks);

}  // namespace slora::cuda
