#include "kernels/cpu/rms_norm_backward.h"

namespace slora::cpu {

void rms_norm_backward(const Kernels& kernels, ThreadPool& pool, Tensor dx, Tensor dy, Tensor x, std::span<const float> gain, float eps) {
  pool.parallel_rows(x.rows, 2 * x.cols, [&](std::int64_t t) {
    kernels.train.rms_norm_backward(dx.row<float>(t), dy.row<float>(t), x.row<float>(t), x.cols, gain, eps);
  });
}

void add_rms_norm_backward(const Kernels& kernels, ThreadPool& pool, Tensor d_residual, Tensor dy, Tensor residual,
                           std::span<const float> gain, float eps) {
  pool.parallel_rows(residual.rows, 3 * residual.cols, [&](std::int64_t t) {
    kernels.train.add_rms_norm_backward(d_residual.row<float>(t), dy.row<float>(t), residual.row<float>(t), residual.cols, gain, eps);
  });
}

}  // namespace slora::cpu
