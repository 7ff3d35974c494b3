#include "backend/cuda/cublas/cublas_functions.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdint>

namespace slora::cuda {
namespace {

std::size_t major_version(std::size_t version) { return version / 10000; }

// The functions of a library, by name. After the first that it lacks, nothing is looked for.
class FunctionTable {
 public:
  explicit FunctionTable(void* library) : library_(library) {}

  template <class Function>
  void find(Function*& function, const char* name) {
    if (!missing_.empty()) return;
    function = reinterpret_cast<Function*>(dlsym(library_, name));
    if (function == nullptr) missing_ = name;
  }
  [[nodiscard]] const std::string& missing() const { return missing_; }

 private:
  void* const library_;
  std::string missing_;
};

}  // namespace

std::string cublas_library_name() { return fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR); }

Result<CublasFunctions> load_cublas(const std::string& library) {
  void* const opened = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (opened == nullptr) return error("E_CUBLAS", "cuBLASLt: {}", dlerror());  // NOLINT(concurrency-mt-unsafe): of this thread
  CublasFunctions functions{};
  FunctionTable table(opened);
  table.find(functions.create, "cublasLtCreate");
  table.find(functions.destroy, "cublasLtDestroy");
  table.find(functions.get_version, "cublasLtGetVersion");
  table.find(functions.status_string, "cublasLtGetStatusString");
  table.find(functions.init_operation, "cublasLtMatmulDescInit_internal");
  table.find(functions.set_operation, "cublasLtMatmulDescSetAttribute");
  table.find(functions.init_layout, "cublasLtMatrixLayoutInit_internal");
  table.find(functions.init_preference, "cublasLtMatmulPreferenceInit_internal");
  table.find(functions.set_preference, "cublasLtMatmulPreferenceSetAttribute");
  table.find(functions.find_algorithms, "cublasLtMatmulAlgoGetHeuristic");
  table.find(functions.multiply, "cublasLtMatmul");
  if (!table.missing().empty()) return error("E_CUBLAS", "cuBLASLt: {} lacks {}", library, table.missing());
  if (major_version(functions.get_version()) != CUBLAS_VER_MAJOR) {
    return error("E_CUBLAS", "cuBLASLt: {}: expected version {}, found {}", library, CUBLAS_VER_MAJOR, functions.get_version());
  }
  return functions;
}

std::string cublas_name(const CublasFunctions& functions) {
  const std::size_t version = functions.get_version();
  return fmt::format("cuBLASLt {}.{}.{}", major_version(version), version / 100 % 100, version % 100);
}

}  // namespace slora::cuda
