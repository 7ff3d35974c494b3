#include "kernels/cpu/add_shares.h"

#include "kernels/reference/add_shares.h"

namespace slora::cpu {

void add_shares(ThreadPool& pool, Tensor out, Tensor y, std::span<const std::int32_t> rows, std::span<const float> shares) {
  pool.parallel_rows(y.rows, y.cols, [&](std::int64_t i) {
    const auto index = static_cast<std::size_t>(i);
    reference::add_shares(out, y.rows_from(i, 1), rows.subspan(index, 1), shares.subspan(index, 1));
  });
}

}  // namespace slora::cpu
