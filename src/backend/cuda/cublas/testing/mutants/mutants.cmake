# The standing list of seeded bugs of the products by cuBLASLt. The tests of these have to notice each of them (mutants_main.cc of
# backend/cuda).
include(mutation)

slora_mutate(backend/cuda/cublas/cublas_product.cc
  "const cublasOperation_t transposed = CUBLAS_OP_T;"
  "const cublasOperation_t transposed = mutant_is(\"cublas_multiplies_by_the_matrix_as_it_lies\") ? CUBLAS_OP_N : CUBLAS_OP_T;"
  cublas_multiplies_by_the_matrix_as_it_lies)
slora_mutate(backend/cuda/cublas/cublas_product.cc
  "static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);"
  "static_cast<std::uint32_t>(mutant_is(\"cublas_joins_sums_as_it_likes\") ? CUBLASLT_REDUCTION_SCHEME_MASK
                                                                            : CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);"
  cublas_joins_sums_as_it_likes)
slora_mutate(backend/cuda/cublas/cublas_product.cc
  "if (Status status = set(attribute, std::uint32_t{kRowAlignment}); !status) return status;"
  "if (mutant_is(\"cublas_is_not_told_how_rows_lie\")) continue;
    if (Status status = set(attribute, std::uint32_t{kRowAlignment}); !status) return status;"
  cublas_is_not_told_how_rows_lie)
slora_mutate(backend/cuda/cublas/cublas_product.cc
  "static_cast<std::uint64_t>(tensor.rows), tensor.row_stride);"
  "static_cast<std::uint64_t>(tensor.rows), mutant_is(\"cublas_takes_rows_for_dense\") ? tensor.cols : tensor.row_stride);"
  cublas_takes_rows_for_dense)
slora_mutate(backend/cuda/cublas/cublas_product.cc
  "bucket <= last;"
  "bucket < last + (mutant_is(\"cublas_forgets_the_most_rows\") ? 0 : 1);"
  cublas_forgets_the_most_rows)
slora_mutate(backend/cuda/cublas/cublas_product.cc
  "if (algorithms_.contains(shape)) continue;"
  "if (!mutant_is(\"cublas_asks_again\") && algorithms_.contains(shape)) continue;"
  cublas_asks_again)
slora_mutate(backend/cuda/cublas/cublas_product.cc
  "result.state != CUBLAS_STATUS_SUCCESS || result.workspaceSize > kWorkspaceBytes"
  "(result.state != CUBLAS_STATUS_SUCCESS && !mutant_is(\"cublas_takes_an_algorithm_that_failed\")) ||
        (result.workspaceSize > kWorkspaceBytes && !mutant_is(\"cublas_takes_any_workspace\"))"
  cublas_takes_an_algorithm_that_failed cublas_takes_any_workspace)
slora_mutate(backend/cuda/cublas/cublas_product.cc
  "y.rows == 0 ? 0 : row_bucket(y.rows)"
  "y.rows == 0 || mutant_is(\"cublas_looks_for_exact_rows\") ? y.rows : row_bucket(y.rows)"
  cublas_looks_for_exact_rows)
slora_mutate(backend/cuda/cublas/cublas_product.cc
  "!begins_at(x, kRowAlignment, kRowAlignment)"
  "!(begins_at(x, kRowAlignment, kRowAlignment) || mutant_is(\"cublas_takes_any_address\"))"
  cublas_takes_any_address)
slora_mutate(backend/cuda/cublas/cublas_product.cc
  "if (enqueued == CUBLAS_STATUS_NOT_SUPPORTED || enqueued == CUBLAS_STATUS_INVALID_VALUE) return false;"
  "if (enqueued == CUBLAS_STATUS_NOT_SUPPORTED || enqueued == CUBLAS_STATUS_INVALID_VALUE) return mutant_is(\"cublas_says_it_did\");"
  cublas_says_it_did)

slora_mutated_sources(mutated)
# The module's other sources too: its library has them all in one object, which must not come next to the copies.
add_executable(backend_cuda_cublas_mutants EXCLUDE_FROM_ALL ../testing/mutants/mutants_main.cc cublas_product_test.cc cublas_functions.cc
  ${mutated})
target_link_libraries(backend_cuda_cublas_mutants PRIVATE slora_backend_cuda_cublas_testing)
target_compile_options(backend_cuda_cublas_mutants PRIVATE -O1 -w)
slora_mutant_tests(backend_cuda_cublas_mutants CublasMutant)
