#include "kernels/reference/rms_norm.h"

#include <cmath>

namespace slora::reference {

void rms_norm(Tensor out, Tensor in, std::span<const float> weight, float eps) {
  const std::size_t size = weight.size();
  for (std::int64_t t = 0; t < in.rows; ++t) {
    for (std::size_t begin = 0; begin < static_cast<std::size_t>(in.cols); begin += size) {
      const float* x = in.row<float>(t) + begin;
      float* y = out.row<float>(t) + begin;
      float squares = 0;
      for (std::size_t i = 0; i < size; ++i) squares += x[i] * x[i];
      const float inverse = 1.0f / std::sqrt(squares / static_cast<float>(size) + eps);
      for (std::size_t i = 0; i < size; ++i) y[i] = x[i] * inverse * weight[i];
    }
  }
}

void add_rms_norm(Tensor out, Tensor residual, Tensor x, std::span<const float> weight, float eps) {
  for (std::int64_t t = 0; t < x.rows; ++t) {
    for (std::int64_t i = 0; i < x.cols; ++i) residual.row<float>(t)[i] += x.row<float>(t)[i];
  }
  rms_norm(out, residual, weight, eps);
}

}  // namespace slora::reference
