#include "kernels/reference/adapter_backward.h"

namespace slora::reference {
namespace {

// gradient[i, j] += factor * sum over the rows of left[t, i] right[t, j]
void add_outer_products(Tensor gradient, float factor, Tensor left, Tensor right) {
  for (std::int64_t i = 0; i < gradient.rows; ++i) {
    for (std::int64_t j = 0; j < gradient.cols; ++j) {
      float sum = 0;
      for (std::int64_t t = 0; t < left.rows; ++t) sum += left.row<float>(t)[i] * right.row<float>(t)[j];
      gradient.row<float>(i)[j] += factor * sum;
    }
  }
}

// out[t, j] = factor * sum of in[t, i] matrix[i, j], or + the same
void multiply_row(float* out, float old_factor, float factor, const float* in, Tensor matrix) {
  for (std::int64_t j = 0; j < matrix.cols; ++j) {
    float sum = 0;
    for (std::int64_t i = 0; i < matrix.rows; ++i) sum += in[i] * matrix.row<float>(i)[j];
    out[j] = old_factor * out[j] + factor * sum;
  }
}

}  // namespace

void adapter_backward(Tensor dx, Tensor d_z, Tensor dy, Tensor x, Tensor z, std::span<const TrainedRows> modules) {
  for (const TrainedRows& rows : modules) {
    const TrainedModule& module = *rows.module;
    const auto own = [&](Tensor tensor) { return tensor.rows_from(rows.row_begin, rows.row_count); };
    const Tensor dy_slice = own(dy).cols_from(module.slice_begin, module.b.rows);
    const Tensor z_part = own(z).cols_from(module.z_begin, module.a.rows), dz_part = own(d_z).cols_from(module.z_begin, module.a.rows);
    for (std::int64_t t = 0; t < rows.row_count; ++t) {
      multiply_row(dz_part.row<float>(t), 0, module.scale, dy_slice.row<float>(t), module.b);
      if (dx.rows > 0) multiply_row(own(dx).row<float>(t), 1, 1, dz_part.row<float>(t), module.a);
    }
    add_outer_products(module.b_gradient, module.scale, dy_slice, z_part);
    add_outer_products(module.a_gradient, 1, dz_part, own(x));
  }
}

}  // namespace slora::reference
