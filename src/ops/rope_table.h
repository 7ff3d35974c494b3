#pragma once
#include <cstdint>

#include "tensor/tensor.h"

namespace slora {

// Linear RoPE factors that adapters may have at the same time, besides the base's. Each has a part of the table.
inline constexpr std::int32_t kRopePartsMax = 4;

// cos and sin of every (position, frequency), scaled by the attention factor of the RoPE kind: [rows, head_dim / 2] fp32. The first rows
// are the base's, by position; then each part for adapters that extend the context has as many rows as such an adapter has positions.
struct RopeTable {
  Tensor cos;
  Tensor sin;
};

}  // namespace slora
