#pragma once
#include <cublasLt.h>

#include <cstddef>
#include <cstdint>

// The functions that load_cublas() looks for, but the last: of a library for tests, which computes nothing.
extern "C" {
inline constexpr cublasStatus_t kNothing = CUBLAS_STATUS_NOT_INITIALIZED;

cublasStatus_t cublasLtCreate(cublasLtHandle_t*) { return kNothing; }
cublasStatus_t cublasLtDestroy(cublasLtHandle_t) { return kNothing; }
std::size_t cublasLtGetVersion() { return CUBLAS_VERSION; }
const char* cublasLtGetStatusString(cublasStatus_t) { return "a library for tests"; }
cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t, std::size_t, cublasComputeType_t, cudaDataType_t) { return kNothing; }
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t, cublasLtMatmulDescAttributes_t, const void*, std::size_t) {
  return kNothing;
}
cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t, std::size_t, cudaDataType, std::uint64_t, std::uint64_t,
                                                 std::int64_t) {
  return kNothing;
}
cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t, std::size_t) { return kNothing; }
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t, const void*,
                                                    std::size_t) {
  return kNothing;
}
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatmulPreference_t, int,
                                              cublasLtMatmulHeuristicResult_t*, int*) {
  return kNothing;
}
}
