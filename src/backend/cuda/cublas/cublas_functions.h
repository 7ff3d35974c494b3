#pragma once
#include <cublasLt.h>

#include <string>

#include "base/result.h"

namespace slora::cuda {

// What is used of cuBLASLt, as its header declares it. No program is linked with the library.
struct CublasFunctions {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtGetVersion) get_version;
  decltype(&cublasLtGetStatusString) status_string;
  decltype(&cublasLtMatmulDescInit_internal) init_operation;
  decltype(&cublasLtMatmulDescSetAttribute) set_operation;
  decltype(&cublasLtMatrixLayoutInit_internal) init_layout;
  decltype(&cublasLtMatmulPreferenceInit_internal) init_preference;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference;
  decltype(&cublasLtMatmulAlgoGetHeuristic) find_algorithms;
  decltype(&cublasLtMatmul) multiply;
};

// Of the header's major version, which says how its types lie in memory: "libcublasLt.so.13".
[[nodiscard]] std::string cublas_library_name();

// Loads a library for good. Refuses with E_CUBLAS what can't be loaded, naming it, and what lacks a function, naming that, or is of another
// major version.
[[nodiscard]] Result<CublasFunctions> load_cublas(const std::string& library);

// "cuBLASLt 13.1.0"
[[nodiscard]] std::string cublas_name(const CublasFunctions& functions);

}  // namespace slora::cuda
