#pragma once
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "tensor/dtype.h"

namespace slora {

// A view of a matrix [rows, cols] in device memory: rows `row_stride` elements apart, columns contiguous. Owns nothing;
// passed by value. A vector is a matrix of one row.
struct Tensor {
  std::byte* data = nullptr;
  DType dtype = DType::f32;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t row_stride = 0;  // elements

  [[nodiscard]] std::byte* row_bytes(std::int64_t row) const {
    return data + row * row_stride * static_cast<std::int64_t>(bytes_of(dtype));
  }

  // Requires: T is the type that dtype names.
  template <class T>
  [[nodiscard]] T* row(std::int64_t index) const {
    return reinterpret_cast<T*>(row_bytes(index));
  }
  [[nodiscard]] Tensor rows_from(std::int64_t begin, std::int64_t count) const {
    check(begin >= 0 && count >= 0 && begin + count <= rows, "expected a row range within the tensor");
    return {row_bytes(begin), dtype, count, cols, row_stride};
  }
  [[nodiscard]] Tensor cols_from(std::int64_t begin, std::int64_t count) const {
    check(begin >= 0 && count >= 0 && begin + count <= cols, "expected a column range within the tensor");
    return {data + begin * static_cast<std::int64_t>(bytes_of(dtype)), dtype, rows, count, row_stride};
  }
};

}  // namespace slora
