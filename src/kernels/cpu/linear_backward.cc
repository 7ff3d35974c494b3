#include "kernels/cpu/linear_backward.h"

namespace slora::cpu {

void LinearBackward::run(Tensor dx, Tensor dy, const PackedWeight& weight) {
  const FloatRows rows = packer_.pack(dy, pool_);
  const std::int64_t strip_count = (weight.in + kStripCols - 1) / kStripCols;
  constexpr std::int64_t kFloats = kStripsMax * kStripFloats;
  auto* scratch = scratch_.take<float>(static_cast<std::size_t>(kFloats * pool_.thread_count()));
  pool_.parallel_ranges(strip_count, kStripsMax, [&](std::int64_t begin, std::int64_t end, int worker) {
    kernels_.train.linear_backward(dx, rows, weight, begin, end, scratch + kFloats * worker);
  });
}

}  // namespace slora::cpu
