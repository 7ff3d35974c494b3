#include "kernels/reference/gated.h"

#include <cmath>

namespace slora::reference {

void gated(Tensor out, Tensor gate_up, Activation activation) {
  check(activation == Activation::silu, "expected an activation that kernels implement");
  for (std::int64_t t = 0; t < out.rows; ++t) {
    const float* gate = gate_up.row<float>(t);
    const float* up = gate + out.cols;
    for (std::int64_t i = 0; i < out.cols; ++i) out.row<float>(t)[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
  }
}

}  // namespace slora::reference
