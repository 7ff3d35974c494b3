#pragma once
#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"

namespace slora::cuda {

// y [rows, out] = x [rows, in] w [out, in]^T in bf16 with sums in fp32, by cuBLASLt, which is loaded from a file.
class CublasLtProduct {
 public:
  struct Shape {
    std::int64_t rows, out, in;
  };
  [[nodiscard]] static Result<std::unique_ptr<CublasLtProduct>> load(const std::string& library, const Shape& shape);
  ~CublasLtProduct();
  CublasLtProduct(const CublasLtProduct&) = delete;
  CublasLtProduct& operator=(const CublasLtProduct&) = delete;

  [[nodiscard]] std::size_t version() const;
  [[nodiscard]] Status enqueue(cudaStream_t stream, void* y, const void* x, const void* w);

 private:
  struct State;
  explicit CublasLtProduct(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace slora::cuda
