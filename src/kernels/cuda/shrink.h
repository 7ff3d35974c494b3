#pragma once
#include "kernels/cuda/lora_args.h"
#include "kernels/cuda/stream.h"
#include "tensor/tensor.h"

namespace slora::cuda {

// All arrays are in device memory; the launch depends on none of them but on `blocks`.
struct ShrinkArgs {
  const MatrixRows* pieces;
  const ShrinkRecord* records;
  const ShrinkItem* items;
  const std::int32_t* item_count;
  std::int32_t split_columns;  // of in, a multiple of 32: how many k of one item
};

// z[split, t, z_begin + j] = sum over the split's k of A[j, k] x[t, k] for every item. x [T, in] bf16, z [splits * T, z columns] fp32. What
// reads z adds the splits up; what no item names is not written.
void shrink(Stream stream, Tensor z, Tensor x, const ShrinkArgs& args, MatrixAlignment alignment, std::int32_t blocks);

}  // namespace slora::cuda
