#include "backend/cuda/cublas/cublas_functions.h"

#include <gtest/gtest.h>

namespace slora::cuda {
namespace {

Error refusal_of(const std::string& library) {
  const Result<CublasFunctions> functions = load_cublas(library);
  return functions ? Error{"none", "loaded", {}} : functions.error();
}

TEST(CublasFunctions, AreTakenFromALibraryThatHasAll) {
  const Result<CublasFunctions> functions = load_cublas(SLORA_CUBLAS_WHOLE);
  ASSERT_TRUE(functions) << functions.error().message;
  EXPECT_EQ(functions->get_version(), std::size_t{CUBLAS_VERSION});
  EXPECT_NE(functions->multiply, nullptr);
  EXPECT_TRUE(cublas_name(*functions).starts_with("cuBLASLt 13.")) << cublas_name(*functions);
}

TEST(CublasFunctions, ThatALibraryLacksAreNamed) {
  const Error error = refusal_of(SLORA_CUBLAS_LACKING);
  EXPECT_EQ(error.code, "E_CUBLAS");
  EXPECT_TRUE(error.message.ends_with("cublas_lacking.so lacks cublasLtMatmul")) << error.message;
}

TEST(CublasFunctions, OfALibraryThatIsNotThereAreRefusedWithItsName) {
  const Error error = refusal_of("/nowhere/libcublasLt.so.13");
  EXPECT_EQ(error.code, "E_CUBLAS");
  EXPECT_TRUE(error.message.starts_with("cuBLASLt: /nowhere/libcublasLt.so.13: cannot open")) << error.message;
}

TEST(CublasFunctions, OfNvidiasLibraryAreThereWhereItIsInstalled) {
  const Result<CublasFunctions> functions = load_cublas(cublas_library_name());
  if (!functions) GTEST_SKIP() << functions.error().message;
  EXPECT_GE(functions->get_version(), std::size_t{CUBLAS_VER_MAJOR} * 10000);
  EXPECT_STRNE(functions->status_string(CUBLAS_STATUS_NOT_SUPPORTED), "");
  // Descriptors need no device. What the header says of their sizes is what the library expects.
  cublasLtMatmulDescOpaque_t operation{};
  EXPECT_EQ(functions->init_operation(&operation, sizeof(operation), CUBLAS_COMPUTE_32F, CUDA_R_32F), CUBLAS_STATUS_SUCCESS);
  const cublasOperation_t transposed = CUBLAS_OP_T;
  EXPECT_EQ(functions->set_operation(&operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof(transposed)), CUBLAS_STATUS_SUCCESS);
  cublasLtMatrixLayoutOpaque_t layout{};
  EXPECT_EQ(functions->init_layout(&layout, sizeof(layout), CUDA_R_16BF, 4096, 16, 4096), CUBLAS_STATUS_SUCCESS);
  cublasLtMatmulPreferenceOpaque_t preference{};
  EXPECT_EQ(functions->init_preference(&preference, sizeof(preference)), CUBLAS_STATUS_SUCCESS);
  const std::uint64_t bytes = 1 << 20;
  const auto attribute = CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
  EXPECT_EQ(functions->set_preference(&preference, attribute, &bytes, sizeof(bytes)), CUBLAS_STATUS_SUCCESS);
}

}  // namespace
}  // namespace slora::cuda
