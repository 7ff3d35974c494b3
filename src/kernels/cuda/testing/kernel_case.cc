#include "kernels/cuda/testing/kernel_case.h"

#include <fmt/format.h>

#include <cmath>

#include "tensor/dtype.h"

namespace slora::cuda {

float KernelCase::number() { return to_float(to_bfloat16(std::uniform_real_distribution<float>(-1, 1)(random_))); }

std::vector<float> KernelCase::numbers(std::size_t count) {
  std::vector<float> values(count);
  for (float& value : values) value = number();
  return values;
}

std::vector<float> KernelCase::eighths(std::size_t count) {
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(draw(-8, 8)) / 8;
  return values;
}

std::vector<float> KernelCase::powers_of_two(std::size_t count) {
  std::vector<float> values(count);
  for (float& value : values) value = pick({-1.0f, 0.5f, 1.0f, 2.0f});
  return values;
}

void KernelCase::expect_near(float got, double expected, Tolerance tolerance, const char* what, std::int64_t row, std::int64_t column) {
  if (static_cast<double>(got) == expected) return;  // infinity, too
  const double error = std::abs(static_cast<double>(got) - expected);
  if (error <= tolerance.absolute + tolerance.relative * std::abs(expected)) return;  // false for NaN
  fail(fmt::format("{} [{}, {}]: expected {}, found {}", what, row, column, expected, got));
}

std::string KernelCase::finish() {
  if (!device_.faults().empty()) return to_text(device_.faults().front());
  const emulator::WatchCounts& counts = device_.counts();
  if (counts.shared_bank_conflicts != 0 || counts.matrix_bank_conflicts != 0) {
    return fmt::format("expected no bank conflicts, found {} of plain accesses and {} of load_matrices", counts.shared_bank_conflicts,
                       counts.matrix_bank_conflicts);
  }
  return failure_;
}

}  // namespace slora::cuda
