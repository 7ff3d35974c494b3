#pragma once
#include "kernels/cuda/lora_args.h"
#include "kernels/cuda/stream.h"
#include "tensor/tensor.h"

namespace slora::cuda {

// z[split, t, z_begin + j] = sum over the split's k of A[j, k] x[t, k] for every item. x [T, in] bf16, z [splits * T, z columns] fp32. What
// reads z adds the splits up; what no item names is not written. `list` is in device memory; `split_columns`: how many k of one item, a
// multiple of 32.
void shrink(Stream stream, Tensor z, Tensor x, const ShrinkList* list, std::int32_t split_columns, std::int32_t blocks);

}  // namespace slora::cuda
