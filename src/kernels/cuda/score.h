#pragma once
#include "kernels/cuda/args.h"
#include "kernels/cuda/stream.h"
#include "ops/sampling.h"
#include "tensor/tensor.h"

namespace slora::cuda {

// out[i] = log softmax(logits row i)[rows[i].token], the token's rank, and the most likely tokens, as kernels/reference/score.h says.
// logits [rows, vocab] fp32 are not changed. out and rows [logits.rows] in device memory.
void score(Stream stream, TokenResult* out, Tensor logits, const ScoreRow* rows, RowCount row_count);

}  // namespace slora::cuda
