#pragma once
#include "kernels/cuda/args.h"
#include "kernels/cuda/stream.h"
#include "tensor/tensor.h"

namespace slora::cuda {

// out[t, :] = table[token of t - first_token, :], or zeros where the table has no such row. out [T, hidden] fp32 or bf16, table [tokens,
// hidden] bf16.
void embed(Stream stream, Tensor out, const StepTokens& tokens, Tensor table, std::int32_t first_token);

}  // namespace slora::cuda
