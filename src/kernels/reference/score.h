#pragma once
#include <span>

#include "ops/sampling.h"
#include "ops/token.h"
#include "tensor/tensor.h"

namespace slora::reference {

// out[i] = log softmax(logits row i)[rows[i].token], the token's rank, and the most likely tokens. logits [rows.size(), vocab] fp32,
// overwritten. A row without a finite logit gives rank 0.
void score(std::span<TokenResult> out, Tensor logits, std::span<const ScoreRow> rows);

}  // namespace slora::reference
