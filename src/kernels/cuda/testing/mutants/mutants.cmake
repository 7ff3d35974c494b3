# The standing list of seeded bugs of the kernels. Their checks, with every access watched, have to notice each of them (mutants_main.cc):
# by a wrong number, or by a fault that the emulator reports.
include(mutation)
include(testing/mutants/attend_mutants.cmake)
include(testing/mutants/copy_and_norm_mutants.cmake)
include(testing/mutants/product_mutants.cmake)
include(testing/mutants/sample_mutants.cmake)
include(testing/mutants/score_mutants.cmake)

slora_mutated_sources(mutated)
set_source_files_properties(${mutated} PROPERTIES LANGUAGE CXX)
add_executable(kernels_cuda_mutants EXCLUDE_FROM_ALL testing/mutants/mutants_main.cc ${mutated})
target_include_directories(kernels_cuda_mutants BEFORE PRIVATE "${CMAKE_CURRENT_BINARY_DIR}/mutants/src")
target_link_libraries(kernels_cuda_mutants PRIVATE slora_kernels_cuda_testing)
target_compile_options(kernels_cuda_mutants PRIVATE -O1 -w -fsanitize=thread)
slora_mutant_tests(kernels_cuda_mutants CudaMutant)
