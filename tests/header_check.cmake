# Target header_check, which continuous integration builds: every header compiles on its own. Where sources are compiled one at a time
# (SLORA_UNITY off), a header that is the first #include of the .cc next to it has been checked with that file already.
file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE "${CMAKE_SOURCE_DIR}/src" "${CMAKE_SOURCE_DIR}/src/*.h")
if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  list(REMOVE_ITEM headers kernels/cpu/neon.h)
endif()
if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(FILTER headers EXCLUDE REGEX "kernels/cpu/avx")
endif()

list(REMOVE_ITEM headers kernels/cuda/device_nvcc.h)
# Those that include cublasLt.h, of a toolkit that need not be there.
list(FILTER headers EXCLUDE REGEX "^backend/cuda/cublas/(cublas_|testing/)")

set(sources "")
foreach(header IN LISTS headers)
  string(REGEX REPLACE "\\.h$" "" stem "${header}")
  set(first_include "")
  if(NOT SLORA_UNITY AND EXISTS "${CMAKE_SOURCE_DIR}/src/${stem}.cc")
    file(STRINGS "${CMAKE_SOURCE_DIR}/src/${stem}.cc" first_include REGEX "^#include" LIMIT_COUNT 1)
  endif()
  if(NOT first_include STREQUAL "#include \"${header}\"")
    string(REPLACE "/" "_" flat "${stem}")
    set(source "${CMAKE_CURRENT_BINARY_DIR}/header_check/${flat}.cc")
    file(CONFIGURE OUTPUT "${source}" CONTENT "#include \"${header}\"\n")
    list(APPEND sources "${source}")
  endif()
endforeach()

add_library(header_check OBJECT EXCLUDE_FROM_ALL ${sources})
target_link_libraries(header_check PRIVATE slora_http GTest::gmock)
target_compile_options(header_check PRIVATE -O0 -Wno-psabi -Wno-unknown-pragmas)
