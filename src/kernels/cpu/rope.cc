#include "kernels/cpu/rope.h"

namespace slora::cpu {

void rope(const Kernels& kernels, ThreadPool& pool, Tensor x, std::span<const std::int32_t> positions, const RopeTable& table) {
  const std::int64_t half = table.cos.cols;
  pool.parallel_rows(x.rows, x.cols, [&](std::int64_t t) {
    const std::int32_t position = positions[static_cast<std::size_t>(t)];
    check(position >= 0 && position < table.cos.rows, "expected a position within the rope table");
    const float* cos = table.cos.row<float>(position);
    const float* sin = table.sin.row<float>(position);
    for (float* head = x.row<float>(t); head < x.row<float>(t) + x.cols; head += table.head_stride())
      kernels.rope(head, head + half, cos, sin, half);
  });
}

}  // namespace slora::cpu
