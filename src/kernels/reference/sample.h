#pragma once
#include <span>

#include "ops/sampling.h"
#include "ops/token.h"
#include "tensor/tensor.h"

namespace slora::reference {

// Draws out[i] from logits row i [out.size(), vocab] fp32, which is overwritten. With weights w = exp((logit - max) / T): min-p keeps
// w >= min_p, top-k keeps logits not below the k-th largest, top-p keeps the shortest prefix of the order (logit descending, token
// ascending) whose share of the kept weight reaches top_p. The draw sums up the weights that are left, by token.
void sample(std::span<TokenResult> out, Tensor logits, const SampleBatch& batch);

}  // namespace slora::reference
