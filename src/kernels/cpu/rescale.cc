#include "kernels/cpu/rescale.h"

namespace slora::cpu {

void rescale(const Kernels& kernels, ThreadPool& pool, Tensor x, float factor, float cap) {
  pool.parallel_rows(x.rows, x.cols, [&](std::int64_t t) { kernels.rescale(x.row<float>(t), x.cols, factor, cap); });
}

}  // namespace slora::cpu
