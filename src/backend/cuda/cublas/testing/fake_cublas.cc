#include "backend/cuda/cublas/testing/fake_cublas.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "backend/cuda/device_owners.h"
#include "base/check.h"
#include "kernels/cuda/linear.h"

namespace slora::cuda {
namespace {

FakeCublas* current_fake = nullptr;

// What the double keeps in a descriptor.
struct FakeLayout {
  std::uint64_t type, rows, cols, row_stride;
};
struct FakeOperation {
  std::uint64_t compute, scale, transposes_a;
};
struct FakePreference {
  std::uint64_t workspace_bytes, reductions, alignment[4];
};
template <class Kept, class Opaque>
Kept& kept(Opaque* descriptor) {
  static_assert(sizeof(Kept) <= sizeof(Opaque));
  return *reinterpret_cast<Kept*>(descriptor->data);
}

}  // namespace

FakeCublas::FakeCublas(DeviceApi& device) {
  check(current_fake == nullptr, "expected one double at a time");
  current_fake = this;
  found = {algorithm(1)};
  counts_ = allocate_buffer(device, (kRowsMax + 1) * sizeof(std::int32_t)).value();
  const Buffer host = allocate_host_buffer(device, counts_.bytes()).value();
  auto* const counts = reinterpret_cast<std::int32_t*>(host.data());
  std::iota(counts, counts + kRowsMax + 1, 0);
  const Owned<Stream> stream(device, device.make_stream(StreamPriority::normal).value());
  check(device.upload(stream.get(), counts_.data(), host.data(), host.bytes()).has_value(), "an upload");
  check(device.synchronise(stream.get()).has_value(), "the upload's end");
}

FakeCublas::~FakeCublas() { current_fake = nullptr; }

FakeCublas& FakeCublas::current() { return *current_fake; }

void FakeCublas::expect(bool condition, const char* what) {
  if (!condition && fault.empty()) fault = what;
}

cublasLtMatmulHeuristicResult_t FakeCublas::algorithm(std::uint64_t number, std::size_t workspace_bytes, cublasStatus_t state) {
  cublasLtMatmulHeuristicResult_t result{};
  result.algo.data[0] = number;
  result.workspaceSize = workspace_bytes;
  result.state = state;
  return result;
}

void FakeCublas::find(cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t weight, cublasLtMatrixLayout_t x, cublasLtMatrixLayout_t y,
                      cublasLtMatmulPreference_t preference) {
  const auto& op = kept<FakeOperation>(operation);
  const auto &of_weight = kept<FakeLayout>(weight), &of_x = kept<FakeLayout>(x), &of_y = kept<FakeLayout>(y);
  const auto& prefers = kept<FakePreference>(preference);
  expect(op.compute == CUBLAS_COMPUTE_32F && op.scale == CUDA_R_32F && op.transposes_a == CUBLAS_OP_T, "an operation in fp32 on W^T");
  // Column-major: rows are the elements that lie next to one another.
  expect(of_weight.rows == of_x.rows && of_weight.cols == of_y.rows && of_x.cols == of_y.cols, "shapes of one product");
  expect(of_weight.row_stride >= of_weight.rows && of_x.row_stride >= of_x.rows && of_y.row_stride >= of_y.rows,
         "rows that do not overlap");
  expect(prefers.workspace_bytes == CublasProduct::kWorkspaceBytes, "the workspace's size");
  expect(prefers.reductions == CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, "sums that are joined in fp32");
  for (const std::uint64_t alignment : prefers.alignment) expect(alignment == 16 || alignment == 256, "every operand's alignment");
  asked.push_back({static_cast<std::int64_t>(of_y.cols), static_cast<std::int64_t>(of_y.rows), static_cast<std::int64_t>(of_x.rows),
                   static_cast<cudaDataType_t>(of_y.type)});
}

void FakeCublas::multiply(cublasLtMatmulDesc_t operation, const void* weight, cublasLtMatrixLayout_t weight_layout, const void* x,
                          cublasLtMatrixLayout_t x_layout, void* y, cublasLtMatrixLayout_t y_layout, const cublasLtMatmulAlgo_t& algorithm,
                          const void* workspace, std::size_t workspace_bytes, Stream stream) {
  expect(kept<FakeOperation>(operation).transposes_a == CUBLAS_OP_T, "W^T");
  expect(workspace != nullptr && workspace_bytes == CublasProduct::kWorkspaceBytes, "a workspace");
  const auto tensor_of = [](const void* data, cublasLtMatrixLayout_t layout) {
    const auto& of = kept<FakeLayout>(layout);
    return Tensor{static_cast<std::byte*>(const_cast<void*>(data)), of.type == CUDA_R_32F ? DType::f32 : DType::bf16,
                  static_cast<std::int64_t>(of.cols), static_cast<std::int64_t>(of.rows), static_cast<std::int64_t>(of.row_stride)};
  };
  const Tensor result = tensor_of(y, y_layout);
  check(result.rows <= kRowsMax, "expected fewer rows");
  linear(stream, result, tensor_of(x, x_layout), tensor_of(weight, weight_layout),
         {.row_count = reinterpret_cast<const std::int32_t*>(counts_.data()) + result.rows,
          .range_columns = linear_range_columns(result.cols, static_cast<std::int64_t>(kept<FakeLayout>(x_layout).rows))});
  multiplied_by.push_back(algorithm.data[0]);
}

CublasFunctions FakeCublas::functions() {
  CublasFunctions functions{};
  functions.create = [](cublasLtHandle_t* handle) {
    if (current().create_status == CUBLAS_STATUS_SUCCESS) {
      *handle = reinterpret_cast<cublasLtHandle_t>(&current());
      ++current().handles;
    }
    return current().create_status;
  };
  functions.destroy = [](cublasLtHandle_t handle) {
    current().expect(handle == reinterpret_cast<cublasLtHandle_t>(&current()), "a handle");
    --current().handles;
    return CUBLAS_STATUS_SUCCESS;
  };
  functions.get_version = [] { return std::size_t{CUBLAS_VERSION}; };
  functions.status_string = [](cublasStatus_t status) { return status == CUBLAS_STATUS_ALLOC_FAILED ? "no memory" : "refused"; };
  functions.init_operation = [](cublasLtMatmulDesc_t operation, std::size_t bytes, cublasComputeType_t compute, cudaDataType_t scale) {
    current().expect(bytes == sizeof(*operation), "a descriptor's size");
    kept<FakeOperation>(operation) = {static_cast<std::uint64_t>(compute), static_cast<std::uint64_t>(scale), CUBLAS_OP_N};
    return CUBLAS_STATUS_SUCCESS;
  };
  functions.set_operation = [](cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute, const void* value,
                               std::size_t bytes) {
    std::int32_t number = 0;
    current().expect(attribute == CUBLASLT_MATMUL_DESC_TRANSA && bytes == sizeof(number), "the attribute that transposes W");
    std::memcpy(&number, value, sizeof(number));
    kept<FakeOperation>(operation).transposes_a = static_cast<std::uint64_t>(number);
    return CUBLAS_STATUS_SUCCESS;
  };
  functions.init_layout = [](cublasLtMatrixLayout_t layout, std::size_t bytes, cudaDataType type, std::uint64_t rows, std::uint64_t cols,
                             std::int64_t row_stride) {
    current().expect(bytes == sizeof(*layout), "a layout's size");
    kept<FakeLayout>(layout) = {static_cast<std::uint64_t>(type), rows, cols, static_cast<std::uint64_t>(row_stride)};
    return CUBLAS_STATUS_SUCCESS;
  };
  functions.init_preference = [](cublasLtMatmulPreference_t preference, std::size_t bytes) {
    current().expect(bytes == sizeof(*preference), "a preference's size");
    kept<FakePreference>(preference) = {};
    return CUBLAS_STATUS_SUCCESS;
  };
  functions.set_preference = [](cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                std::size_t bytes) {
    auto& prefers = kept<FakePreference>(preference);
    std::uint64_t number = 0;
    current().expect(bytes == (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES ? 8 : 4), "a value's size");
    std::memcpy(&number, value, bytes);
    if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) prefers.workspace_bytes = number;
    if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) prefers.reductions = number;
    const int operand = attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;
    if (operand >= 0 && operand < 4) prefers.alignment[operand] = number;
    return CUBLAS_STATUS_SUCCESS;
  };
  functions.find_algorithms = [](cublasLtHandle_t, cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t weight, cublasLtMatrixLayout_t x,
                                 cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t y, cublasLtMatmulPreference_t preference, int wanted,
                                 cublasLtMatmulHeuristicResult_t* results, int* count) {
    FakeCublas& fake = current();
    fake.expect(c == y, "a result that is its own C");
    fake.find(operation, weight, x, y, preference);
    *count = std::min(wanted, static_cast<int>(fake.found.size()));
    std::copy_n(fake.found.begin(), *count, results);
    return fake.find_status;
  };
  functions.multiply = [](cublasLtHandle_t, cublasLtMatmulDesc_t operation, const void* alpha, const void* weight,
                          cublasLtMatrixLayout_t weight_layout, const void* x, cublasLtMatrixLayout_t x_layout, const void* beta,
                          const void* c, cublasLtMatrixLayout_t, void* y, cublasLtMatrixLayout_t y_layout,
                          const cublasLtMatmulAlgo_t* algorithm, void* workspace, std::size_t workspace_bytes, cudaStream_t stream) {
    FakeCublas& fake = current();
    fake.expect(*static_cast<const float*>(alpha) == 1 && *static_cast<const float*>(beta) == 0 && c == y, "y = W x");
    if (fake.multiply_status == CUBLAS_STATUS_SUCCESS) {
      fake.multiply(operation, weight, weight_layout, x, x_layout, y, y_layout, *algorithm, workspace, workspace_bytes, stream);
    }
    return fake.multiply_status;
  };
  return functions;
}

}  // namespace slora::cuda
