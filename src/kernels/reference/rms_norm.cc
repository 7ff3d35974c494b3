#include "kernels/reference/rms_norm.h"

#include <algorithm>
#include <cmath>

namespace slora::reference {

void rms_norm(Tensor out, Tensor in, const RowGains& gains, float eps) {
  const std::size_t size = gains.base.size();
  for (std::int64_t t = 0; t < in.rows; ++t) {
    const std::span<const float> gain = gains.of(t);
    for (std::size_t begin = 0; begin < static_cast<std::size_t>(in.cols); begin += size) {
      const float* x = in.row<float>(t) + begin;
      float* y = out.row<float>(t) + begin;
      float squares = 0;
      for (std::size_t i = 0; i < size; ++i) squares += x[i] * x[i];
      const float inverse = 1.0f / std::sqrt(squares / static_cast<float>(size) + eps);
      for (std::size_t i = 0; i < size; ++i) y[i] = x[i] * inverse * gain[i];
    }
  }
}

void add_rms_norm(Tensor out, Tensor residual, Tensor x, const RowGains& gains, float eps) {
  for (std::int64_t t = 0; t < x.rows; ++t) {
    for (std::int64_t i = 0; i < x.cols; ++i) residual.row<float>(t)[i] += x.row<float>(t)[i];
  }
  if (!gains.base.empty()) return rms_norm(out, residual, gains, eps);
  for (std::int64_t t = 0; t < x.rows; ++t) std::copy_n(residual.row<float>(t), x.cols, out.row<float>(t));
}

}  // namespace slora::reference
