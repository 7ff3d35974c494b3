#include "kernels/reference/rope.h"

namespace slora::reference {

void rope(Tensor x, std::span<const std::int32_t> positions, const RopeTable& table) {
  const std::int64_t half = table.cos.cols;
  for (std::int64_t t = 0; t < x.rows; ++t) {
    const std::int32_t position = positions[static_cast<std::size_t>(t)];
    check(position >= 0 && position < table.cos.rows, "expected a position within the rope table");
    const float* cos = table.cos.row<float>(position);
    const float* sin = table.sin.row<float>(position);
    for (float* head = x.row<float>(t); head < x.row<float>(t) + x.cols; head += table.head_stride()) {
      for (std::int64_t i = 0; i < half; ++i) {
        const float a = head[i];
        const float b = head[half + i];
        head[i] = a * cos[i] - b * sin[i];
        head[half + i] = b * cos[i] + a * sin[i];
      }
    }
  }
}

}  // namespace slora::reference
