#include <cmath>

#include "kernels/cuda/gated.h"
#include "kernels/cuda/testing/device_matrix.h"
#include "kernels/cuda/testing/kernel_checks.h"

namespace slora::cuda {

// Gates of all magnitudes: in some rows exp(-gate) is infinite, in some 0.
std::string check_gated(std::uint64_t seed) {
  KernelCase kernel_case(seed);
  const std::int32_t rows = kernel_case.draw(1, 6);
  const std::int32_t row_count = kernel_case.draw(0, rows);
  const std::int64_t cols = kernel_case.pick<std::int64_t>({8, 12, 60, 97, 264, 520, 2056});
  std::vector<float> values = kernel_case.numbers(static_cast<std::size_t>(row_count * 2 * cols));
  for (std::int64_t t = 0; t < row_count; ++t) {
    const float scale = kernel_case.pick({0.25f, 4.0f, 32.0f, 1024.0f});
    for (std::int64_t i = 0; i < cols; ++i) values[static_cast<std::size_t>(t * 2 * cols + i)] *= scale;
  }
  const emulator::DeviceArray<std::int32_t> count(kernel_case.device(), {row_count});
  const DeviceMatrix gate_up(kernel_case, DType::bf16, rows, 2 * cols, draw_rows(kernel_case), row_count, values);
  const DeviceMatrix out(kernel_case, DType::bf16, rows, cols, draw_rows(kernel_case));
  gated(kernel_case.stream(), out, gate_up, Activation::silu, count.data());
  out.expect("out", row_count, kOneRounding, [&](std::int64_t t, std::int64_t i) {
    const double gate = values[static_cast<std::size_t>(t * 2 * cols + i)];
    return gate / (1 + std::exp(-gate)) * values[static_cast<std::size_t>(t * 2 * cols + cols + i)];
  });
  return kernel_case.finish();
}

}  // namespace slora::cuda
