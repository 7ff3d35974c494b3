#include "kernels/cpu/gated_backward.h"

namespace slora::cpu {

void gated(const Kernels& kernels, ThreadPool& pool, Tensor out, Tensor gate_up, Activation activation) {
  const auto row = activation == Activation::silu ? kernels.gated_silu : kernels.gated_gelu_tanh;
  const std::int64_t n = out.cols;
  pool.parallel_rows(out.rows, 2 * n,
                     [&](std::int64_t t) { row(out.row<Bfloat16>(t), gate_up.row<float>(t), gate_up.row<float>(t) + n, n); });
}

void gated_backward(const Kernels& kernels, ThreadPool& pool, Tensor d_gate_up, Tensor d_out, Tensor gate_up, Activation activation) {
  const auto row = activation == Activation::silu ? kernels.train.gated_silu_backward : kernels.train.gated_gelu_tanh_backward;
  const std::int64_t n = d_out.cols;
  pool.parallel_rows(d_out.rows, 4 * n, [&](std::int64_t t) {
    row(d_gate_up.row<float>(t), d_gate_up.row<float>(t) + n, d_out.row<float>(t), gate_up.row<float>(t), gate_up.row<float>(t) + n, n);
  });
}

}  // namespace slora::cpu
