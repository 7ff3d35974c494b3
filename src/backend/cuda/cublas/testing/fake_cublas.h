#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend/cuda/cublas/cublas_functions.h"
#include "backend/cuda/cublas/cublas_product.h"
#include "backend/cuda/device_api.h"
#include "tensor/buffer.h"

namespace slora::cuda {

// The functions of cuBLASLt as a double that keeps what it is told in the descriptors themselves, holds each call to what the library
// demands, and multiplies with kernels/cuda/linear. One at a time: the library's functions have no context of ours.
class FakeCublas {
 public:
  struct Asked {
    std::int64_t rows, out, in;
    cudaDataType_t type;  // of the result
  };

  // The device outlives it.
  explicit FakeCublas(DeviceApi& device);
  ~FakeCublas();
  FakeCublas(const FakeCublas&) = delete;
  FakeCublas& operator=(const FakeCublas&) = delete;

  [[nodiscard]] static CublasFunctions functions();

  // What the next calls return.
  cublasStatus_t create_status = CUBLAS_STATUS_SUCCESS;
  cublasStatus_t find_status = CUBLAS_STATUS_SUCCESS;
  cublasStatus_t multiply_status = CUBLAS_STATUS_SUCCESS;
  std::vector<cublasLtMatmulHeuristicResult_t> found;  // algorithms, best first; empty: none

  std::vector<Asked> asked;
  std::vector<std::uint64_t> multiplied_by;  // the algorithm of each product: its first word
  std::int64_t handles = 0;                  // that are open
  std::string fault;                         // the first thing that was wrong with a call

  // An algorithm with this number.
  [[nodiscard]] static cublasLtMatmulHeuristicResult_t algorithm(std::uint64_t number, std::size_t workspace_bytes = 0,
                                                                 cublasStatus_t state = CUBLAS_STATUS_SUCCESS);

  // The library's functions.
  void find(cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t weight, cublasLtMatrixLayout_t x, cublasLtMatrixLayout_t y,
            cublasLtMatmulPreference_t preference);
  void multiply(cublasLtMatmulDesc_t operation, const void* weight, cublasLtMatrixLayout_t weight_layout, const void* x,
                cublasLtMatrixLayout_t x_layout, void* y, cublasLtMatrixLayout_t y_layout, const cublasLtMatmulAlgo_t& algorithm,
                const void* workspace, std::size_t workspace_bytes, Stream stream);
  [[nodiscard]] static FakeCublas& current();

 private:
  void expect(bool condition, const char* what);

  static constexpr std::int64_t kRowsMax = 4096;
  Buffer counts_;  // [kRowsMax + 1] int32 in the device: 0, 1, 2, ...
};

// Products by the double, which it owns: given to a backend, both end before the device does.
class FakeCublasProduct final : public BaseProduct {
 public:
  explicit FakeCublasProduct(DeviceApi& device) : fake_(device), product_(CublasProduct::create(device, FakeCublas::functions()).value()) {}

  [[nodiscard]] FakeCublas& fake() { return fake_; }
  Status prepare(std::int64_t rows, std::int64_t out, std::int64_t in, DType dtype) override {
    return product_->prepare(rows, out, in, dtype);
  }
  Result<bool> multiply(Stream stream, Tensor y, Tensor x, Tensor weight) override { return product_->multiply(stream, y, x, weight); }

 private:
  FakeCublas fake_;
  std::unique_ptr<CublasProduct> product_;
};

}  // namespace slora::cuda
