# Compiles the kernels with nvcc, where there is one (13.0 or later): an object each, with code for four architectures and PTX for others.
# These are no targets of CMake's CUDA language, because what ptxas reports of each kernel's resources is kept next to the object, for
# tools/gpu_gate. slora_kernels_cuda_device is what links them.
if(NOT SLORA_NVCC)
  return()
endif()

# sm_90a and sm_100a: code for these alone may use what other architectures lack.
set(architectures "")
foreach(architecture IN ITEMS 80 89 90a 100a)
  list(APPEND architectures "--generate-code=arch=compute_${architecture},code=sm_${architecture}")
endforeach()
# For all others that are newer than these, PTX of the lowest, which the driver compiles when the kernels are first used.
list(APPEND architectures "--generate-code=arch=compute_80,code=compute_80")

set(objects "")
foreach(kernel IN LISTS kernels)
  get_filename_component(name "${kernel}" NAME_WE)
  set(object "${CMAKE_CURRENT_BINARY_DIR}/device/${name}.o")
  # The second command's output goes to a file: ptxas writes a report, but a compiler is silent when all is well.
  add_custom_command(OUTPUT "${object}" "${object}.resources"
    COMMAND "${CMAKE_COMMAND}" -E make_directory "${CMAKE_CURRENT_BINARY_DIR}/device"
    COMMAND sh -c "\"$@\" >\"$0\" 2>&1 || { cat \"$0\" >&2; exit 1; }" "${object}.resources"
      ${CMAKE_CXX_COMPILER_LAUNCHER} "${SLORA_NVCC}" -std=c++20 --expt-relaxed-constexpr ${architectures} -Xfatbin=-compress-all
      -Xcompiler=-fPIC -Xptxas=-v "-I${CMAKE_SOURCE_DIR}/src" -MD -MT "${object}" -MF "${object}.d" -c "${kernel}" -o "${object}"
    DEPENDS "${kernel}"
    DEPFILE "${object}.d"
    COMMENT "Compiling ${name}.cu for the device"
    VERBATIM)
  list(APPEND objects "${object}")
endforeach()
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
