#pragma once
#include <cstdint>

#include "tensor/tensor.h"

namespace slora {

// Linear RoPE factors that adapters may have at the same time, besides the base's. Each has a part of the table.
inline constexpr std::int32_t kRopePartsMax = 4;

// cos and sin of every (position, frequency), scaled by the attention factor of the RoPE kind: [rows, head_dim / 2] fp32. The first rows
// are the base's, by position; then each part for adapters that extend the context has as many rows as such an adapter has positions. Of
// heads that rotate in part, with fewer frequencies than head_dim / 2, the first 2 * cos.cols elements rotate.
struct RopeTable {
  Tensor cos;
  Tensor sin;
  std::int64_t head_dim = 0;  // 0: all of a head rotates

  // Elements from a head to the next.
  [[nodiscard]] std::int64_t head_stride() const { return head_dim > 0 ? head_dim : 2 * cos.cols; }
};

}  // namespace slora
