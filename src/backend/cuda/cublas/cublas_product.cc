#include "backend/cuda/cublas/cublas_product.h"

#include <array>
#include <bit>

#include "backend/cuda/device_owners.h"

namespace slora::cuda {
namespace {

constexpr int kAlgorithmsAsked = 8;   // the first that fits is taken
constexpr std::int64_t kPadding = 8;  // elements: rows begin at multiples of it

std::int64_t padded(std::int64_t count, std::int64_t multiple) { return (count + multiple - 1) / multiple * multiple; }

cudaDataType_t type_of(DType dtype) { return dtype == DType::f32 ? CUDA_R_32F : CUDA_R_16BF; }

bool begins_at(const Tensor& tensor, std::int64_t first, std::int64_t row) {
  return reinterpret_cast<std::uintptr_t>(tensor.data) % static_cast<std::uintptr_t>(first) == 0 &&
         tensor.row_stride * static_cast<std::int64_t>(bytes_of(tensor.dtype)) % row == 0;
}

}  // namespace

Result<std::unique_ptr<CublasProduct>> CublasProduct::create(DeviceApi& device, const CublasFunctions& functions) {
  cublasLtHandle_t handle = nullptr;
  const cublasStatus_t created = functions.create(&handle);
  if (created != CUBLAS_STATUS_SUCCESS) return error("E_CUBLAS", "cublasLtCreate: {}", functions.status_string(created));
  std::unique_ptr<CublasProduct> product(new CublasProduct(functions, handle));
  if (Status made = product->make(device); !made) return forward_error(made);
  return product;
}

CublasProduct::~CublasProduct() { static_cast<void>(functions_.destroy(handle_)); }

Status CublasProduct::status_of(const char* call, cublasStatus_t status) const {
  if (status == CUBLAS_STATUS_SUCCESS) return {};
  return error("E_CUBLAS", "{}: {}", call, functions_.status_string(status));
}

Status CublasProduct::make(DeviceApi& device) {
  Result<Buffer> workspace = allocate_buffer(device, kWorkspaceBytes);
  if (!workspace) return forward_error(workspace);
  workspace_ = *std::move(workspace);
  const cublasStatus_t begun = functions_.init_operation(&operation_, sizeof(operation_), CUBLAS_COMPUTE_32F, CUDA_R_32F);
  if (Status status = status_of("cublasLtMatmulDescInit", begun); !status) return status;
  // Matrices of the library are column-major: our W [out, in] is its W^T, y [T, out] its y^T = W x^T.
  const cublasOperation_t transposed = CUBLAS_OP_T;
  const cublasStatus_t set = functions_.set_operation(&operation_, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof(transposed));
  if (Status status = status_of("cublasLtMatmulDescSetAttribute", set); !status) return status;
  return make_preference();
}

Status CublasProduct::make_preference() {
  const cublasStatus_t begun = functions_.init_preference(&preference_, sizeof(preference_));
  if (Status status = status_of("cublasLtMatmulPreferenceInit", begun); !status) return status;
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    const cublasStatus_t done = functions_.set_preference(&preference_, attribute, &value, sizeof(value));
    return status_of("cublasLtMatmulPreferenceSetAttribute", done);
  };
  if (Status status = set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{kWorkspaceBytes}); !status) return status;
  // Where blocks share a result, their sums are joined in fp32: no rounding to bf16 between, and no atomic operations in y.
  const auto reduction = static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
  if (Status status = set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, reduction); !status) return status;
  constexpr std::array kOfRows{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                               CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
  for (const cublasLtMatmulPreferenceAttributes_t attribute : kOfRows) {
    if (Status status = set(attribute, std::uint32_t{kRowAlignment}); !status) return status;
  }
  return set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, std::uint32_t{kWeightAlignment});
}

Status CublasProduct::make_layouts(Layouts& layouts, const Tensor& y, const Tensor& x, const Tensor& weight) const {
  const auto make = [&](cublasLtMatrixLayoutOpaque_t& layout, const Tensor& tensor) {
    const cublasStatus_t begun =
        functions_.init_layout(&layout, sizeof(layout), type_of(tensor.dtype), static_cast<std::uint64_t>(tensor.cols),
                               static_cast<std::uint64_t>(tensor.rows), tensor.row_stride);
    return status_of("cublasLtMatrixLayoutInit", begun);
  };
  if (Status status = make(layouts.weight, weight); !status) return status;
  if (Status status = make(layouts.x, x); !status) return status;
  return make(layouts.y, y);
}

std::int64_t CublasProduct::row_bucket(std::int64_t rows) {
  if (rows <= 8) return static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(rows)));
  for (const auto& [up_to, multiple] : {std::pair{64, 8}, {256, 32}, {1024, 128}}) {
    if (rows <= up_to) return padded(rows, multiple);
  }
  return padded(rows, 512);
}

Status CublasProduct::prepare(std::int64_t rows, std::int64_t out, std::int64_t in, DType dtype) {
  const std::int64_t last = row_bucket(rows);
  for (std::int64_t bucket = 1; bucket <= last; bucket = row_bucket(bucket + 1)) {
    const Shape shape{out, in, dtype, bucket};
    if (algorithms_.contains(shape)) continue;
    if (Status found = find_algorithm(shape); !found) return found;
  }
  return {};
}

Status CublasProduct::find_algorithm(const Shape& shape) {
  const std::int64_t x_stride = padded(shape.in, kPadding), y_stride = padded(shape.out, kPadding);
  Layouts layouts;
  const Status made =
      make_layouts(layouts, {nullptr, shape.dtype, shape.row_bucket, shape.out, y_stride},
                   {nullptr, DType::bf16, shape.row_bucket, shape.in, x_stride}, {nullptr, DType::bf16, shape.out, shape.in, x_stride});
  if (!made) return made;
  std::array<cublasLtMatmulHeuristicResult_t, kAlgorithmsAsked> results{};
  int count = 0;
  const cublasStatus_t asked = functions_.find_algorithms(handle_, &operation_, &layouts.weight, &layouts.x, &layouts.y, &layouts.y,
                                                          &preference_, kAlgorithmsAsked, results.data(), &count);
  if (asked == CUBLAS_STATUS_NOT_SUPPORTED) return {};
  if (Status status = status_of("cublasLtMatmulAlgoGetHeuristic", asked); !status) return status;
  for (int i = 0; i < count; ++i) {
    const cublasLtMatmulHeuristicResult_t& result = results[static_cast<std::size_t>(i)];
    if (result.state != CUBLAS_STATUS_SUCCESS || result.workspaceSize > kWorkspaceBytes) continue;
    algorithms_.emplace(shape, result.algo);
    return {};
  }
  return {};
}

Result<bool> CublasProduct::multiply(Stream stream, Tensor y, Tensor x, Tensor weight) {
  const auto found = algorithms_.find({y.cols, x.cols, y.dtype, y.rows == 0 ? 0 : row_bucket(y.rows)});
  if (found == algorithms_.end()) return false;
  if (!begins_at(y, kRowAlignment, kRowAlignment) || !begins_at(x, kRowAlignment, kRowAlignment) ||
      !begins_at(weight, kWeightAlignment, kRowAlignment)) {
    return false;
  }
  Layouts layouts;
  if (Status made = make_layouts(layouts, y, x, weight); !made) return forward_error(made);
  const float one = 1, zero = 0;
  const cublasStatus_t enqueued =
      functions_.multiply(handle_, &operation_, &one, weight.data, &layouts.weight, x.data, &layouts.x, &zero, y.data, &layouts.y, y.data,
                          &layouts.y, &found->second, workspace_.data(), workspace_.bytes(), stream);
  // Of fewer rows than the algorithm was asked for.
  if (enqueued == CUBLAS_STATUS_NOT_SUPPORTED || enqueued == CUBLAS_STATUS_INVALID_VALUE) return false;
  if (Status status = status_of("cublasLtMatmul", enqueued); !status) return forward_error(status);
  return true;
}

}  // namespace slora::cuda
