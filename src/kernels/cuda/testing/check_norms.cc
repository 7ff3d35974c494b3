#include <cmath>

#include "kernels/cuda/rms_norm.h"
#include "kernels/cuda/testing/device_matrix.h"
#include "kernels/cuda/testing/kernel_checks.h"

namespace slora::cuda {
namespace {

constexpr float kEps = 1e-2f;  // large enough to matter

std::int64_t draw_hidden(KernelCase& kernel_case) {
  return kernel_case.one_in(6) ? kernel_case.pick<std::int64_t>({4104, 1500, 16448})
                               : kernel_case.pick<std::int64_t>({8, 12, 60, 64, 97, 264, 520});
}

// Wide rows are served with 16-byte accesses only.
Rows draw_norm_rows(KernelCase& kernel_case, std::int64_t hidden) { return hidden > 4096 ? Rows::aligned : draw_rows(kernel_case); }

// Each row with a magnitude of its own.
std::vector<float> draw_values(KernelCase& kernel_case, std::int64_t rows, std::int64_t cols) {
  std::vector<float> values = kernel_case.numbers(static_cast<std::size_t>(rows * cols));
  for (std::int64_t t = 0; t < rows; ++t) {
    const float scale = kernel_case.pick({0.0625f, 1.0f, 16.0f});
    for (std::int64_t i = 0; i < cols; ++i) values[static_cast<std::size_t>(t * cols + i)] *= scale;
  }
  return values;
}

// The expected element at (t, i), for groups of weight.size() columns; a row's values are taken once.
DeviceMatrix::Expected expect_norm(const std::vector<float>& in, std::int64_t cols, const std::vector<float>& weight) {
  return [&in, cols, &weight, group = std::vector<float>(), at = std::int64_t{-1}, expected = std::vector<double>()](
             std::int64_t t, std::int64_t i) mutable {
    const auto size = static_cast<std::int64_t>(weight.size());
    const std::int64_t begin = i / size * size;
    if (at != t * cols + begin) {
      at = t * cols + begin;
      group = {in.begin() + at, in.begin() + at + size};
      double squares = 0;
      for (const float x : group) squares += static_cast<double>(x) * x;
      const double inverse = 1 / std::sqrt(squares / static_cast<double>(size) + kEps);
      expected.assign(weight.size(), 0);
      for (std::size_t j = 0; j < weight.size(); ++j) expected[j] = group[j] * inverse * weight[j];
    }
    return expected[static_cast<std::size_t>(i - begin)];
  };
}

}  // namespace

std::string check_rms_norm(std::uint64_t seed) {
  KernelCase kernel_case(seed);
  const std::int32_t rows = kernel_case.draw(1, 6);
  const std::int32_t row_count = kernel_case.draw(0, rows);
  const std::int64_t hidden = draw_hidden(kernel_case);
  const std::vector<float> in_values = draw_values(kernel_case, row_count, hidden);
  const std::vector<float> weight_values = kernel_case.numbers(static_cast<std::size_t>(hidden));
  const emulator::DeviceArray<std::int32_t> count(kernel_case.device(), {row_count});
  const DeviceMatrix in(kernel_case, DType::f32, rows, hidden, draw_norm_rows(kernel_case, hidden), row_count, in_values);
  const DeviceMatrix weight(kernel_case, DType::f32, 1, hidden, Rows::aligned, 1, weight_values);
  const DeviceMatrix out(kernel_case, DType::bf16, rows, hidden, draw_norm_rows(kernel_case, hidden));
  rms_norm(kernel_case.stream(), out, in, weight, kEps, count.data());
  out.expect("out", row_count, kOneRounding, expect_norm(in_values, hidden, weight_values));
  return kernel_case.finish();
}

std::string check_add_rms_norm(std::uint64_t seed) {
  KernelCase kernel_case(seed);
  const std::int32_t rows = kernel_case.draw(1, 6);
  const std::int32_t row_count = kernel_case.draw(0, rows);
  const std::int64_t hidden = draw_hidden(kernel_case);
  const std::vector<float> before = draw_values(kernel_case, row_count, hidden);
  const std::vector<float> x_values = draw_values(kernel_case, row_count, hidden);
  std::vector<float> after = before;
  for (std::size_t i = 0; i < after.size(); ++i) after[i] += x_values[i];
  const std::vector<float> weight_values = kernel_case.numbers(static_cast<std::size_t>(hidden));
  const emulator::DeviceArray<std::int32_t> count(kernel_case.device(), {row_count});
  const DeviceMatrix residual(kernel_case, DType::f32, rows, hidden, draw_norm_rows(kernel_case, hidden), row_count, before);
  const DeviceMatrix x(kernel_case, DType::bf16, rows, hidden, draw_norm_rows(kernel_case, hidden), row_count, x_values);
  const DeviceMatrix weight(kernel_case, DType::f32, 1, hidden, Rows::aligned, 1, weight_values);
  const DeviceMatrix out(kernel_case, DType::bf16, rows, hidden, draw_norm_rows(kernel_case, hidden));
  add_rms_norm(kernel_case.stream(), out, residual, x, weight, kEps, count.data());
  residual.expect("residual", row_count, kExact,
                  [&](std::int64_t t, std::int64_t i) { return after[static_cast<std::size_t>(t * hidden + i)]; });
  out.expect("out", row_count, kOneRounding, expect_norm(after, hidden, weight_values));
  return kernel_case.finish();
}

std::string check_rms_norm_groups(std::uint64_t seed) {
  KernelCase kernel_case(seed);
  const std::int32_t rows = kernel_case.draw(1, 6);
  const std::int32_t row_count = kernel_case.draw(0, rows);
  const std::int64_t size = kernel_case.pick<std::int64_t>({7, 12, 20, 64, 128, 250, 520, 1024});
  const std::int64_t cols = size * kernel_case.draw(1, 5);
  const std::vector<float> in_values = draw_values(kernel_case, row_count, cols);
  const std::vector<float> weight_values = kernel_case.numbers(static_cast<std::size_t>(size));
  const emulator::DeviceArray<std::int32_t> count(kernel_case.device(), {row_count});
  const Rows place = size > 256 ? Rows::aligned : draw_rows(kernel_case);  // such groups are served with 16-byte accesses only
  const DeviceMatrix in(kernel_case, DType::bf16, rows, cols, place, row_count, in_values);
  const DeviceMatrix weight(kernel_case, DType::f32, 1, size, Rows::aligned, 1, weight_values);
  const DeviceMatrix out(kernel_case, DType::bf16, rows, cols, place);
  const bool in_place = kernel_case.one_in(2);
  const DeviceMatrix& written = in_place ? in : out;
  rms_norm_groups(kernel_case.stream(), written, in, weight, kEps, count.data());
  written.expect("out", row_count, kOneRounding, expect_norm(in_values, cols, weight_values));
  return kernel_case.finish();
}

}  // namespace slora::cuda
