#include "kernels/cpu/rope_backward.h"

namespace slora::cpu {

// The rotation of (b, a) is (b cos - a sin, a cos + b sin): what is needed, the other way round.
void rope_backward(const Kernels& kernels, ThreadPool& pool, Tensor dx, std::span<const std::int32_t> positions, const RopeTable& table) {
  const std::int64_t half = table.cos.cols;
  pool.parallel_rows(dx.rows, dx.cols, [&](std::int64_t t) {
    const std::int32_t position = positions[static_cast<std::size_t>(t)];
    check(position >= 0 && position < table.cos.rows, "expected a position within the rope table");
    for (float* head = dx.row<float>(t); head < dx.row<float>(t) + dx.cols; head += table.head_stride())
      kernels.rope(head + half, head, table.cos.row<float>(position), table.sin.row<float>(position), half);
  });
}

}  // namespace slora::cpu
