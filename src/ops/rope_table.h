#pragma once
#include "tensor/tensor.h"

namespace slora {

// cos and sin of every (position, frequency), scaled by the attention factor of the RoPE kind: [positions, head_dim / 2] fp32.
struct RopeTable {
  Tensor cos;
  Tensor sin;
};

}  // namespace slora
