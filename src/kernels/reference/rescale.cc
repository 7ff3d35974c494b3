#include "kernels/reference/rescale.h"

#include <cmath>
#include <limits>

namespace slora::reference {

void rescale(Tensor x, float factor, float cap) {
  for (std::int64_t t = 0; t < x.rows; ++t) {
    for (float* value = x.row<float>(t); value < x.row<float>(t) + x.cols; ++value) {
      *value *= factor;
      if (cap > 0 && *value != -std::numeric_limits<float>::infinity()) *value = cap * std::tanh(*value / cap);
    }
  }
}

}  // namespace slora::reference
