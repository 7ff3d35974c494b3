# slora_nvcc_objects(VARIABLE source.cu...): sets VARIABLE to an object for each source, compiled by nvcc with code for four architectures,
# and PTX for others, into ${CMAKE_CURRENT_BINARY_DIR}/device. These are no targets of CMake's CUDA language, because what ptxas reports of
# each kernel's resources is kept next to the object, for tools/gpu_gate. Requires: SLORA_NVCC is not empty.
function(slora_nvcc_objects variable)
  # sm_90a and sm_100a: code for these alone may use what other architectures lack.
  set(architectures "")
  foreach(architecture IN ITEMS 80 89 90a 100a)
    list(APPEND architectures "--generate-code=arch=compute_${architecture},code=sm_${architecture}")
  endforeach()
  # For all others that are newer than these, PTX of the lowest, which the driver compiles when the kernels are first used.
  list(APPEND architectures "--generate-code=arch=compute_80,code=compute_80")

  set(objects "")
  foreach(source IN LISTS ARGN)
    get_filename_component(source "${source}" ABSOLUTE)
    get_filename_component(name "${source}" NAME_WE)
    set(object "${CMAKE_CURRENT_BINARY_DIR}/device/${name}.o")
    # The second command's output goes to a file: ptxas writes a report, but a compiler is silent when all is well.
    add_custom_command(OUTPUT "${object}" "${object}.resources"
      COMMAND "${CMAKE_COMMAND}" -E make_directory "${CMAKE_CURRENT_BINARY_DIR}/device"
      COMMAND sh -c "\"$@\" >\"$0\" 2>&1 || { cat \"$0\" >&2; exit 1; }" "${object}.resources"
        ${CMAKE_CXX_COMPILER_LAUNCHER} "${SLORA_NVCC}" -std=c++20 --expt-relaxed-constexpr ${architectures} -Xfatbin=-compress-all
        -Xcompiler=-fPIC -Xptxas=-v "-I${CMAKE_SOURCE_DIR}/src" -MD -MT "${object}" -MF "${object}.d" -c "${source}" -o "${object}"
      DEPENDS "${source}"
      DEPFILE "${object}.d"
      COMMENT "Compiling ${name}.cu for the device"
      VERBATIM)
    list(APPEND objects "${object}")
  endforeach()
  set(${variable} ${objects} PARENT_SCOPE)
endfunction()
