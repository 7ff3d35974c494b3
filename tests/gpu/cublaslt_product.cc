#include "cublaslt_product.h"

#include <cublasLt.h>
#include <dlfcn.h>

#include <utility>

namespace slora::cuda {
namespace {

constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

Status status_of(const char* call, cublasStatus_t status) {
  if (status == CUBLAS_STATUS_SUCCESS) return {};
  return error("E_CUBLASLT", "{}: status {}", call, static_cast<int>(status));
}

}  // namespace

// What the library gives is freed with the process.
struct CublasLtProduct::State {
  void* library = nullptr;
  decltype(&cublasLtGetVersion) get_version = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t w = nullptr, x = nullptr, y = nullptr;
  cublasLtMatmulHeuristicResult_t choice{};
  void* workspace = nullptr;

  template <class Function>
  Status find(Function& function, const char* name) const {
    function = reinterpret_cast<Function>(dlsym(library, name));
    if (function == nullptr) return error("E_CUBLASLT", "expected a library with {}", name);
    return {};
  }
  Status load(const std::string& path, const Shape& shape);
};

Status CublasLtProduct::State::load(const std::string& path, const Shape& shape) {
  library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return error("E_CUBLASLT", "{}", dlerror());  // NOLINT(concurrency-mt-unsafe): one thread
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtMatmulDescCreate) create_product = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) set_product = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) create_layout = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) create_preference = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) choose = nullptr;
  for (const Status& found :
       {find(get_version, "cublasLtGetVersion"), find(matmul, "cublasLtMatmul"), find(create, "cublasLtCreate"),
        find(create_product, "cublasLtMatmulDescCreate"), find(set_product, "cublasLtMatmulDescSetAttribute"),
        find(create_layout, "cublasLtMatrixLayoutCreate"), find(create_preference, "cublasLtMatmulPreferenceCreate"),
        find(set_preference, "cublasLtMatmulPreferenceSetAttribute"), find(choose, "cublasLtMatmulAlgoGetHeuristic")}) {
    if (!found) return found;
  }
  if (cudaMalloc(&workspace, kWorkspaceBytes) != cudaSuccess) return error("E_CUBLASLT", "no memory for a workspace");
  // Its matrices lie column by column: y^T = w x^T, with w transposed.
  const cublasOperation_t transposed = CUBLAS_OP_T;
  cublasLtMatmulPreference_t preference = nullptr;
  int choices = 0;
  const std::size_t workspace_bytes = kWorkspaceBytes;
  for (const auto& [call, status] : {
           std::pair{"cublasLtCreate", create(&handle)},
           {"cublasLtMatmulDescCreate", create_product(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F)},
           {"cublasLtMatmulDescSetAttribute", set_product(product, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof(transposed))},
           {"cublasLtMatrixLayoutCreate",
            create_layout(&w, CUDA_R_16BF, static_cast<std::uint64_t>(shape.in), static_cast<std::uint64_t>(shape.out), shape.in)},
           {"cublasLtMatrixLayoutCreate",
            create_layout(&x, CUDA_R_16BF, static_cast<std::uint64_t>(shape.in), static_cast<std::uint64_t>(shape.rows), shape.in)},
           {"cublasLtMatrixLayoutCreate",
            create_layout(&y, CUDA_R_16BF, static_cast<std::uint64_t>(shape.out), static_cast<std::uint64_t>(shape.rows), shape.out)},
           {"cublasLtMatmulPreferenceCreate", create_preference(&preference)},
           {"cublasLtMatmulPreferenceSetAttribute",
            set_preference(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_bytes, sizeof(workspace_bytes))},
           {"cublasLtMatmulAlgoGetHeuristic", choose(handle, product, w, x, y, y, preference, 1, &choice, &choices)},
       }) {
    if (Status done = status_of(call, status); !done) return done;
  }
  if (choices == 0) return error("E_CUBLASLT", "it knows no way to compute the product");
  return {};
}

CublasLtProduct::CublasLtProduct(std::unique_ptr<State> state) : state_(std::move(state)) {}
CublasLtProduct::~CublasLtProduct() = default;

Result<std::unique_ptr<CublasLtProduct>> CublasLtProduct::load(const std::string& library, const Shape& shape) {
  auto state = std::make_unique<State>();
  if (Status loaded = state->load(library, shape); !loaded) return forward_error(loaded);
  return std::unique_ptr<CublasLtProduct>(new CublasLtProduct(std::move(state)));  // NOLINT: its constructor is private
}

std::size_t CublasLtProduct::version() const { return state_->get_version(); }

Status CublasLtProduct::enqueue(cudaStream_t stream, void* y, const void* x, const void* w) {
  const float one = 1, zero = 0;
  return status_of("cublasLtMatmul", state_->matmul(state_->handle, state_->product, &one, w, state_->w, x, state_->x, &zero, y, state_->y,
                                                    y, state_->y, &state_->choice.algo, state_->workspace, kWorkspaceBytes, stream));
}

}  // namespace slora::cuda
