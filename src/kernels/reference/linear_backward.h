#pragma once
#include "tensor/tensor.h"

namespace slora::reference {

// dx[t, :] = W^T dy[t, :]. dx [T, in], dy [T, out], W [out, in], all fp32.
void linear_backward(Tensor dx, Tensor dy, Tensor weight);

}  // namespace slora::reference
