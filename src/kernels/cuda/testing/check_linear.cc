#include "kernels/cuda/linear.h"
#include "kernels/cuda/testing/device_matrix.h"
#include "kernels/cuda/testing/kernel_checks.h"

namespace slora::cuda {

// All numbers are multiples of 1/8 up to 1, so that sums in fp32 are exact in any order and results are compared bit by bit.
std::string check_linear(std::uint64_t seed) {
  KernelCase kernel_case(seed);
  const std::int32_t rows = kernel_case.one_in(2) ? kernel_case.draw(1, 16) : kernel_case.draw(17, 80);
  const std::int32_t row_count = kernel_case.draw(0, rows);
  const std::int64_t in = kernel_case.pick<std::int64_t>({12, 60, 64, 97, 128, 200});
  const std::int64_t out = kernel_case.pick<std::int64_t>({8, 60, 64, 97, 130});
  const DType dtype = kernel_case.pick({DType::bf16, DType::f32});
  const auto draw_place = [&] { return kernel_case.pick({Rows::aligned, Rows::aligned, Rows::even, Rows::far}); };
  const std::vector<float> x_values = kernel_case.eighths(static_cast<std::size_t>(row_count * in));
  const std::vector<float> weight_values = kernel_case.eighths(static_cast<std::size_t>(out * in));
  const std::vector<float> bias_values = kernel_case.eighths(kernel_case.one_in(2) ? static_cast<std::size_t>(out) : 0);

  const emulator::DeviceArray<std::int32_t> count(kernel_case.device(), {row_count});
  const emulator::DeviceArray<float> bias(kernel_case.device(), bias_values);
  const DeviceMatrix x(kernel_case, DType::bf16, rows, in, draw_place(), row_count, x_values);
  const DeviceMatrix weight(kernel_case, DType::bf16, out, in, draw_place(), out, weight_values);
  const DeviceMatrix y(kernel_case, dtype, rows, out, draw_place());
  linear(kernel_case.stream(), y, x, weight, bias_values.empty() ? nullptr : bias.data(), count.data());
  y.expect("y", row_count, kExact, [&](std::int64_t t, std::int64_t i) {
    float sum = bias_values.empty() ? 0 : bias_values[static_cast<std::size_t>(i)];
    for (std::int64_t k = 0; k < in; ++k) {
      sum += x_values[static_cast<std::size_t>(t * in + k)] * weight_values[static_cast<std::size_t>(i * in + k)];
    }
    return dtype == DType::bf16 ? to_float(to_bfloat16(sum)) : sum;
  });
  return kernel_case.finish();
}

}  // namespace slora::cuda
