#include "kernels/reference/add_shares.h"

namespace slora::reference {

void add_shares(Tensor out, Tensor y, std::span<const std::int32_t> rows, std::span<const float> shares) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    float* const to = out.row<float>(rows[i]);
    const float* const from = y.row<float>(static_cast<std::int64_t>(i));
    for (std::int64_t j = 0; j < out.cols; ++j) to[j] += shares[i] * from[j];
  }
}

}  // namespace slora::reference
