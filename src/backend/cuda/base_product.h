#pragma once
#include <cstdint>

#include "base/result.h"
#include "kernels/cuda/stream.h"
#include "tensor/tensor.h"

namespace slora::cuda {

// Products by the base model's weights that are computed by something else than kernels/cuda/linear. Implemented by a library, and by
// doubles in tests. Used with one stream, by the thread that makes weights and later by the engine's.
class BaseProduct {
 public:
  virtual ~BaseProduct() = default;

  // Decides how to multiply up to `rows` rows by a weight [out, in], with results of type `dtype`. Outside of steps.
  [[nodiscard]] virtual Status prepare(std::int64_t rows, std::int64_t out, std::int64_t in, DType dtype) = 0;
  // Enqueues y = W x, in fp32 with one rounding: x [T, in] bf16, W [out, in] bf16, y [T, out] bf16 or fp32. Returns false, having enqueued
  // nothing, where it has no way prepared for these shapes and addresses. May be captured.
  [[nodiscard]] virtual Result<bool> multiply(Stream stream, Tensor y, Tensor x, Tensor weight) = 0;
};

}  // namespace slora::cuda
