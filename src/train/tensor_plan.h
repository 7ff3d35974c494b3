#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/activations.h"
#include "tensor/buffer.h"
#include "tensor/tensor.h"

namespace slora {

// Tensors that get their places in one allocation: first their sizes are added up, then they are placed. Rows begin at multiples of 16
// bytes, tensors at cache lines.
class TensorPlan {
 public:
  // `tensor` gets these sizes now and its place in place(). Requires: it outlives the plan's use.
  void add(Tensor& tensor, DType dtype, std::int64_t rows, std::int64_t cols) {
    tensor = {nullptr, dtype, rows, cols, aligned_row_stride(cols, dtype)};
    if (rows > 0 && cols > 0) tensors_.push_back(&tensor);
  }
  [[nodiscard]] std::size_t bytes() const {
    std::size_t sum = 0;
    for (const Tensor* tensor : tensors_) sum += bytes_of_tensor(*tensor);
    return sum;
  }
  // Requires: memory of bytes() bytes, which outlives the tensors.
  void place(std::byte* memory) {
    for (Tensor* tensor : tensors_) {
      tensor->data = memory;
      memory += bytes_of_tensor(*tensor);
    }
  }

 private:
  static std::size_t bytes_of_tensor(const Tensor& tensor) {
    return (static_cast<std::size_t>(tensor.rows * tensor.row_stride) * bytes_of(tensor.dtype) + 63) / 64 * 64;
  }

  std::vector<Tensor*> tensors_;
};

}  // namespace slora
