#include "kernels/cpu/scatter_rows.h"

#include <algorithm>

namespace slora::cpu {

void scatter_rows(ThreadPool& pool, Tensor out, Tensor in, std::span<const std::int32_t> rows) {
  pool.parallel_rows(out.rows, out.cols, [&](std::int64_t t) { std::fill_n(out.row<float>(t), out.cols, 0.0f); });
  pool.parallel_rows(in.rows, 2 * in.cols, [&](std::int64_t i) {
    const std::int32_t row = rows[static_cast<std::size_t>(i)];
    check(row >= 0 && row < out.rows, "expected a row of the output");
    std::copy_n(in.row<float>(i), in.cols, out.row<float>(row));
  });
}

}  // namespace slora::cpu
