#include "kernels/cpu/gated.h"

#include "kernels/cpu/for_rows.h"

namespace slora::cpu {

void gated(const Kernels& kernels, ThreadPool& pool, Tensor out, Tensor gate_up, Activation activation) {
  check(activation == Activation::silu && out.dtype == DType::bf16, "an activation that kernels know, out in bf16");
  for_rows(pool, out.rows, 4 * out.cols, [&](std::int64_t t) {
    const float* gate = gate_up.row<float>(t);
    kernels.gated_silu(out.row<Bfloat16>(t), gate, gate + out.cols, out.cols);
  });
}

}  // namespace slora::cpu
