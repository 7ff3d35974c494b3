#pragma once
#include "tensor/tensor.h"

namespace slora::reference {

// Sets every element to `value`. out in f32, f16 or bf16.
void fill(Tensor out, float value);

}  // namespace slora::reference
