#pragma once
#include <span>

#include "ops/training.h"

namespace slora::reference {

// losses[r] = -log softmax(logits row r)[token], rounded once, and then logits row r = weight * (softmax(logits row r) - 1 at the token).
// logits [labels.size(), vocab] fp32. A NaN or +infinity gives a loss and a row of NaN.
void cross_entropy(std::span<LabelLoss> losses, Tensor logits, std::span<const LabelRow> labels);

}  // namespace slora::reference
