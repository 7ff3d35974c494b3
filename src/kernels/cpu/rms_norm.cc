#include "kernels/cpu/rms_norm.h"

namespace slora::cpu {

void rms_norm(const Kernels& kernels, ThreadPool& pool, Tensor out, Tensor in, const reference::RowGains& gains, float eps) {
  pool.parallel_rows(in.rows, in.cols,
                     [&](std::int64_t t) { kernels.rms_norm(out.row_bytes(t), out.dtype, in.row<float>(t), in.cols, gains.of(t), eps); });
}

void add_rms_norm(const Kernels& kernels, ThreadPool& pool, Tensor out, Tensor residual, Tensor x, const reference::RowGains& gains,
                  float eps) {
  pool.parallel_rows(x.rows, 2 * x.cols, [&](std::int64_t t) {
    kernels.add(residual.row<float>(t), x.row<float>(t), x.cols);
    if (gains.base.empty()) {
      convert_from_float(out.row_bytes(t), out.dtype, residual.row<float>(t), static_cast<std::size_t>(x.cols));
    } else {
      kernels.rms_norm(out.row_bytes(t), out.dtype, residual.row<float>(t), x.cols, gains.of(t), eps);
    }
  });
}

}  // namespace slora::cpu
