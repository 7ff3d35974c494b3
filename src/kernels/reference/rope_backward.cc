#include "kernels/reference/rope_backward.h"

namespace slora::reference {

void rope_backward(Tensor dx, std::span<const std::int32_t> positions, const RopeTable& table) {
  const std::int64_t half = table.cos.cols;
  for (std::int64_t t = 0; t < dx.rows; ++t) {
    const std::int32_t position = positions[static_cast<std::size_t>(t)];
    check(position >= 0 && position < table.cos.rows, "expected a position within the rope table");
    const float* cos = table.cos.row<float>(position);
    const float* sin = table.sin.row<float>(position);
    for (float* head = dx.row<float>(t); head < dx.row<float>(t) + dx.cols; head += table.head_stride()) {
      for (std::int64_t i = 0; i < half; ++i) {
        const float da = head[i];
        const float db = head[half + i];
        head[i] = da * cos[i] + db * sin[i];
        head[half + i] = db * cos[i] - da * sin[i];
      }
    }
  }
}

}  // namespace slora::reference
