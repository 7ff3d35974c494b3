#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/cuda/testing/kernel_case.h"
#include "tensor/tensor.h"

namespace slora::cuda {

// How the rows of a matrix lie in memory.
enum class Rows : std::uint8_t {
  aligned,  // 16-byte accesses are possible if the width allows them
  even,     // rows begin at multiples of 4 bytes
  odd,      // neither the first address nor the distance of rows is a multiple of anything
  far,      // rows are more than 2^31 bytes apart
};
inline Rows draw_rows(KernelCase& kernel_case) {
  return kernel_case.pick({Rows::aligned, Rows::aligned, Rows::aligned, Rows::odd, Rows::odd, Rows::far});
}

// A matrix in the emulated device's memory. Behind each row but the last lies a gap that nobody may read or write; the last ends where the
// allocation ends.
class DeviceMatrix {
 public:
  // Nobody has written its elements.
  DeviceMatrix(KernelCase& kernel_case, DType dtype, std::int64_t rows, std::int64_t cols, Rows place);
  // The first `row_count` rows have these numbers [row_count, cols].
  DeviceMatrix(KernelCase& kernel_case, DType dtype, std::int64_t rows, std::int64_t cols, Rows place, std::int64_t row_count,
               const std::vector<float>& values);
  ~DeviceMatrix();
  DeviceMatrix(const DeviceMatrix&) = delete;
  DeviceMatrix& operator=(const DeviceMatrix&) = delete;

  operator Tensor() const { return tensor_; }  // NOLINT: implicit, as an argument
  [[nodiscard]] std::vector<float> row(std::int64_t index) const;

  // Compares rows [0, row_count) with expected(row, column). Nobody may have written the others, nor what follows a row.
  using Expected = std::function<double(std::int64_t, std::int64_t)>;
  void expect(const char* what, std::int64_t row_count, Tolerance tolerance, const Expected& expected) const;

  // Compares all elements with numbers [rows, cols]; where NaN is expected, nobody may have written.
  void expect_elements(const char* what, const std::vector<double>& expected, Tolerance tolerance) const;

 private:
  [[nodiscard]] bool is_untouched(float value) const;
  [[nodiscard]] bool has_untouched_gap(std::int64_t index) const;

  KernelCase& case_;
  std::byte* memory_;
  Tensor tensor_;
  bool is_sparse_;
};

}  // namespace slora::cuda
