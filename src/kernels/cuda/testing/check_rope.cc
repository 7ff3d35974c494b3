#include "kernels/cuda/rope.h"
#include "kernels/cuda/testing/device_matrix.h"
#include "kernels/cuda/testing/kernel_checks.h"

namespace slora::cuda {

std::string check_rope(std::uint64_t seed) {
  KernelCase kernel_case(seed);
  const std::int32_t rows = kernel_case.draw(1, 6);
  const std::int32_t row_count = kernel_case.draw(0, rows);
  const std::int64_t half = kernel_case.pick<std::int64_t>({1, 6, 10, 16, 32, 64, 33});
  const std::int64_t heads = kernel_case.draw(1, 9);
  const std::int64_t cols = heads * 2 * half;
  const std::int32_t position_count = kernel_case.draw(1, 6);
  const std::vector<float> values = kernel_case.numbers(static_cast<std::size_t>(row_count * cols));
  const std::vector<float> cos_values = kernel_case.numbers(static_cast<std::size_t>(position_count * half));
  const std::vector<float> sin_values = kernel_case.numbers(static_cast<std::size_t>(position_count * half));
  std::vector<std::int32_t> positions;
  for (std::int32_t t = 0; t < row_count; ++t) positions.push_back(kernel_case.draw(0, position_count - 1));

  emulator::Device& device = kernel_case.device();
  const emulator::DeviceArray<std::int32_t> device_positions(device, positions), count(device, {row_count});
  const DeviceMatrix x(kernel_case, DType::bf16, rows, cols, draw_rows(kernel_case), row_count, values);
  // Both tables in one matrix, cos in its first rows.
  std::vector<float> both = cos_values;
  both.insert(both.end(), sin_values.begin(), sin_values.end());
  const DeviceMatrix tables(kernel_case, DType::f32, 2 * position_count, half, draw_rows(kernel_case), 2 * position_count, both);
  const Tensor cos = Tensor(tables).rows_from(0, position_count);
  const Tensor sin = Tensor(tables).rows_from(position_count, position_count);
  rope(kernel_case.stream(), x, device_positions.data(), cos, sin, count.data());

  x.expect("x", row_count, kOneRounding, [&](std::int64_t t, std::int64_t column) {
    const std::int64_t head = column / (2 * half), i = column % half;
    const bool is_second = column % (2 * half) >= half;
    const float a = values[static_cast<std::size_t>(t * cols + head * 2 * half + i)];
    const float b = values[static_cast<std::size_t>(t * cols + head * 2 * half + half + i)];
    const auto at = static_cast<std::size_t>(positions[static_cast<std::size_t>(t)] * half + i);
    return is_second ? static_cast<double>(b) * cos_values[at] + static_cast<double>(a) * sin_values[at]
                     : static_cast<double>(a) * cos_values[at] - static_cast<double>(b) * sin_values[at];
  });
  return kernel_case.finish();
}

}  // namespace slora::cuda
