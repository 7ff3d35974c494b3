#include "kernels/reference/scatter_rows.h"

#include <algorithm>

namespace slora::reference {

void scatter_rows(Tensor out, Tensor in, std::span<const std::int32_t> rows) {
  for (std::int64_t t = 0; t < out.rows; ++t) std::fill_n(out.row<float>(t), out.cols, 0.0f);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    check(rows[i] >= 0 && rows[i] < out.rows, "expected a row of the output");
    std::copy_n(in.row<float>(static_cast<std::int64_t>(i)), in.cols, out.row<float>(rows[i]));
  }
}

}  // namespace slora::reference
