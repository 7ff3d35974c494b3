# Compiles the kernels with nvcc, where there is one (13.0 or later). slora_kernels_cuda_device is what links them.
if(NOT SLORA_NVCC)
  return()
endif()

include(nvcc)
slora_nvcc_objects(objects ${kernels})
add_custom_target(kernels_cuda_objects ALL DEPENDS ${objects})
add_library(slora_kernels_cuda_device INTERFACE)
target_link_libraries(slora_kernels_cuda_device INTERFACE slora_kernels_cuda ${objects})
add_dependencies(slora_kernels_cuda_device kernels_cuda_objects)

if(NOT SLORA_TESTS)
  return()
endif()
find_package(Python3 COMPONENTS Interpreter)
if(Python3_Interpreter_FOUND)
  add_test(NAME GpuGate COMMAND Python3::Interpreter "${CMAKE_SOURCE_DIR}/tools/gpu_gate" "--nvcc=${SLORA_NVCC}"
    "${CMAKE_CURRENT_BINARY_DIR}/device")
endif()
