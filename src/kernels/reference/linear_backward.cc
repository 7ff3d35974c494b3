#include "kernels/reference/linear_backward.h"

#include <algorithm>

namespace slora::reference {

void linear_backward(Tensor dx, Tensor dy, Tensor weight) {
  for (std::int64_t t = 0; t < dx.rows; ++t) {
    float* out = dx.row<float>(t);
    std::fill_n(out, dx.cols, 0.0f);
    for (std::int64_t n = 0; n < weight.rows; ++n) {
      const float factor = dy.row<float>(t)[n];
      for (std::int64_t k = 0; k < weight.cols; ++k) out[k] += factor * weight.row<float>(n)[k];
    }
  }
}

}  // namespace slora::reference
