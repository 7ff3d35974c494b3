#include "kernels/reference/rms_norm_backward.h"

#include <cmath>

namespace slora::reference {
namespace {

// Calls put(derivative by reference, its value) for every element.
template <class Put>
void find_derivatives(Tensor dx, Tensor dy, Tensor x, std::span<const float> gain, float eps, Put put) {
  const std::size_t size = gain.size();
  for (std::int64_t t = 0; t < x.rows; ++t) {
    for (std::size_t begin = 0; begin < static_cast<std::size_t>(x.cols); begin += size) {
      const float *in = x.row<float>(t) + begin, *d_out = dy.row<float>(t) + begin;
      float squares = 0, products = 0;
      for (std::size_t i = 0; i < size; ++i) {
        squares += in[i] * in[i];
        products += gain[i] * d_out[i] * in[i];
      }
      const auto count = static_cast<float>(size);
      const float inverse = 1.0f / std::sqrt(squares / count + eps);
      const float along_x = products / count * inverse * inverse * inverse;
      for (std::size_t i = 0; i < size; ++i) put(dx.row<float>(t)[begin + i], inverse * gain[i] * d_out[i] - along_x * in[i]);
    }
  }
}

}  // namespace

void rms_norm_backward(Tensor dx, Tensor dy, Tensor x, std::span<const float> gain, float eps) {
  find_derivatives(dx, dy, x, gain, eps, [](float& out, float value) { out = value; });
}

void add_rms_norm_backward(Tensor d_residual, Tensor dy, Tensor residual, std::span<const float> gain, float eps) {
  find_derivatives(d_residual, dy, residual, gain, eps, [](float& out, float value) { out += value; });
}

}  // namespace slora::reference
