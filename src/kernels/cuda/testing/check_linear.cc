#include "kernels/cuda/linear.h"
#include "kernels/cuda/testing/device_matrix.h"
#include "kernels/cuda/testing/kernel_checks.h"

namespace slora::cuda {
namespace {

// What a launch needs besides its tensors.
class LinearMemory {
 public:
  // With scratch for blocks that share tiles, or without.
  LinearMemory(KernelCase& kernel_case, std::int64_t sums_count, std::int32_t row_count, const std::vector<float>& bias)
      : sums_count_(sums_count),
        count_(kernel_case.device(), {row_count}),
        bias_(kernel_case.device(), bias),
        sums_(emulator::DeviceArray<float>::unwritten(kernel_case.device(), static_cast<std::size_t>(sums_count))),
        arrived_(kernel_case.device(), std::vector<std::uint32_t>(LinearScratch::kTilesMax, 0)) {}

  [[nodiscard]] LinearArgs args(std::int32_t range_columns) const {
    return {.bias = bias_.count() == 0 ? nullptr : bias_.data(),
            .row_count = count_.data(),
            .range_columns = range_columns,
            .scratch = {sums_.data(), arrived_.data(), sums_count_}};
  }
  void expect_ready_for_the_next_launch(KernelCase& kernel_case) const {
    for (const std::uint32_t arrived : arrived_.download()) {
      if (arrived != 0) kernel_case.fail("a tile's count of blocks is not zero again");
    }
  }

 private:
  std::int64_t sums_count_;
  emulator::DeviceArray<std::int32_t> count_;
  emulator::DeviceArray<float> bias_;
  emulator::DeviceArray<float> sums_;
  emulator::DeviceArray<std::uint32_t> arrived_;
};

}  // namespace

// All numbers are multiples of 1/8 up to 1, so that sums in fp32 are exact in any order and results are compared bit by bit.
std::string check_linear(std::uint64_t seed) {
  KernelCase kernel_case(seed);
  const bool is_deep = kernel_case.one_in(3);  // enough for every stage to be used again
  const std::int32_t rows = kernel_case.one_in(2) ? kernel_case.draw(1, 16) : kernel_case.draw(17, is_deep ? 24 : 80);
  const std::int32_t row_count = kernel_case.draw(0, rows);
  const std::int64_t in = is_deep ? kernel_case.pick<std::int64_t>({520, 530}) : kernel_case.pick<std::int64_t>({12, 60, 64, 97, 128, 200});
  const std::int64_t out = is_deep ? kernel_case.pick<std::int64_t>({8, 97}) : kernel_case.pick<std::int64_t>({9, 60, 64, 97, 130});
  const std::int32_t range_columns = kernel_case.pick({64, 128, 192, 448});
  const DType dtype = kernel_case.pick({DType::bf16, DType::f32});
  const auto draw_place = [&] { return kernel_case.pick({Rows::aligned, Rows::aligned, Rows::even, Rows::far}); };
  const std::vector<float> x_values = kernel_case.eighths(static_cast<std::size_t>(row_count * in));
  const std::vector<float> weight_values = kernel_case.eighths(static_cast<std::size_t>(out * in));
  const std::vector<float> bias_values = kernel_case.eighths(kernel_case.one_in(2) ? static_cast<std::size_t>(out) : 0);

  const std::int64_t sums_count = kernel_case.one_in(3) ? 0 : linear_sums_count(rows, out, in, range_columns);
  const LinearMemory memory(kernel_case, sums_count, row_count, bias_values);
  const DeviceMatrix x(kernel_case, DType::bf16, rows, in, draw_place(), row_count, x_values);
  const DeviceMatrix weight(kernel_case, DType::bf16, out, in, draw_place(), out, weight_values);
  const DeviceMatrix y(kernel_case, dtype, rows, out, draw_place());
  linear(kernel_case.stream(), y, x, weight, memory.args(range_columns));
  y.expect("y", row_count, kExact, [&](std::int64_t t, std::int64_t i) {
    float sum = bias_values.empty() ? 0 : bias_values[static_cast<std::size_t>(i)];
    for (std::int64_t k = 0; k < in; ++k) {
      sum += x_values[static_cast<std::size_t>(t * in + k)] * weight_values[static_cast<std::size_t>(i * in + k)];
    }
    return dtype == DType::bf16 ? to_float(to_bfloat16(sum)) : sum;
  });
  memory.expect_ready_for_the_next_launch(kernel_case);
  return kernel_case.finish();
}

// A row's bits are the same in tiles of either size, and however many blocks share a tile; the numbers' sums need rounding.
std::string check_linear_order(std::uint64_t seed) {
  KernelCase kernel_case(seed);
  const std::int64_t in = kernel_case.pick<std::int64_t>({97, 200, 320});
  const std::int64_t out = kernel_case.pick<std::int64_t>({8, 68});
  const std::int32_t range_columns = kernel_case.pick({64, 128});
  const std::int32_t few = kernel_case.draw(1, 16), many = kernel_case.draw(17, 20);
  const std::vector<float> x_values = kernel_case.numbers(static_cast<std::size_t>(many * in));
  const std::vector<float> weight_values = kernel_case.numbers(static_cast<std::size_t>(out * in));
  const DeviceMatrix weight(kernel_case, DType::bf16, out, in, Rows::aligned, out, weight_values);
  const auto place = [&](std::int32_t rows) {
    return DeviceMatrix(kernel_case, DType::bf16, rows, in, Rows::aligned, rows,
                        {x_values.begin(), x_values.begin() + static_cast<std::ptrdiff_t>(rows * in)});
  };
  const auto compute = [&](std::int32_t rows, bool shares, const DeviceMatrix& y) {
    const LinearMemory memory(kernel_case, shares ? linear_sums_count(rows, out, in, range_columns) : 0, rows, {});
    linear(kernel_case.stream(), y, place(rows), weight, memory.args(range_columns));
    memory.expect_ready_for_the_next_launch(kernel_case);
  };
  const DeviceMatrix want(kernel_case, DType::f32, few, out, Rows::aligned);
  compute(few, false, want);
  for (const std::int32_t rows : {few, many}) {
    const DeviceMatrix y(kernel_case, DType::f32, rows, out, Rows::aligned);
    compute(rows, rows == few || kernel_case.one_in(2), y);
    for (std::int32_t row = 0; row < few; ++row) {
      if (y.row(row) != want.row(row)) kernel_case.fail("a row has other bits with other rows or blocks");
    }
  }
  return kernel_case.finish();
}

}  // namespace slora::cuda
