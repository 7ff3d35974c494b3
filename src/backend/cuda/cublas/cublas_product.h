#pragma once
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "backend/cuda/base_product.h"
#include "backend/cuda/cublas/cublas_functions.h"
#include "backend/cuda/device_api.h"
#include "tensor/buffer.h"

namespace slora::cuda {

// The base model's products by cuBLASLt. Which algorithm multiplies is asked when a weight is made, for each of a few numbers of rows, and
// kept: in a step nothing is asked, allocated or locked. A row's bits may depend on how many rows there are, since other numbers have other
// algorithms; between equal numbers they do not.
class CublasProduct final : public BaseProduct {
 public:
  // Which algorithms may use, in one stream: another one that computes at the same time needs an object of its own.
  static constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;
  // What rows of x and y, and their first addresses, are multiples of; weights begin where DeviceApi::allocate() says.
  static constexpr std::int64_t kRowAlignment = 16, kWeightAlignment = 256;

  // The device outlives it, and is the calling thread's.
  [[nodiscard]] static Result<std::unique_ptr<CublasProduct>> create(DeviceApi& device, const CublasFunctions& functions);
  ~CublasProduct() override;
  CublasProduct(const CublasProduct&) = delete;
  CublasProduct& operator=(const CublasProduct&) = delete;

  Status prepare(std::int64_t rows, std::int64_t out, std::int64_t in, DType dtype) override;
  Result<bool> multiply(Stream stream, Tensor y, Tensor x, Tensor weight) override;

  // The numbers of rows that algorithms are chosen for: the next one from `rows` on. An algorithm serves fewer rows, too.
  [[nodiscard]] static std::int64_t row_bucket(std::int64_t rows);

 private:
  struct Shape {
    std::int64_t out, in;
    DType dtype;  // of y
    std::int64_t row_bucket;
    auto operator<=>(const Shape&) const = default;
  };
  struct Layouts {
    cublasLtMatrixLayoutOpaque_t weight, x, y;
  };
  CublasProduct(const CublasFunctions& functions, cublasLtHandle_t handle) : functions_(functions), handle_(handle) {}
  [[nodiscard]] Status make(DeviceApi& device);
  [[nodiscard]] Status make_preference();
  // Of matrices with these numbers of elements from row to row.
  [[nodiscard]] Status make_layouts(Layouts& layouts, const Tensor& y, const Tensor& x, const Tensor& weight) const;
  [[nodiscard]] Status find_algorithm(const Shape& shape);
  [[nodiscard]] Status status_of(const char* call, cublasStatus_t status) const;

  const CublasFunctions functions_;
  const cublasLtHandle_t handle_;
  Buffer workspace_;
  cublasLtMatmulDescOpaque_t operation_{};  // W^T x of column-major matrices, in fp32
  cublasLtMatmulPreferenceOpaque_t preference_{};
  std::map<Shape, cublasLtMatmulAlgo_t> algorithms_;  // of shapes that have one
};

}  // namespace slora::cuda
