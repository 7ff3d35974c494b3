#pragma once
#include "tensor/tensor.h"

namespace slora::reference {

// x = factor * x, and then, with a cap above 0, cap * tanh(x / cap), where -infinity stays. x [T, n] fp32.
void rescale(Tensor x, float factor, float cap);

}  // namespace slora::reference
