# How everything is compiled. The sanitizer and fuzzing presets set SLORA_SANITIZE and SLORA_FUZZ.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

option(SLORA_TESTS "Build the tests" ON)
option(SLORA_UNITY "Compile the sources of a module eight at a time: a cold build takes half as long, one after an edit longer" ON)
option(SLORA_FUZZ "Build the fuzz targets (clang only)" OFF)
set(SLORA_STRESS "" CACHE STRING "Mode of src/memory/stress.h, for a build that only runs tests")
set(SLORA_CUDA "auto" CACHE STRING "What nvcc compiles: on, off, or auto: where the CUDA toolkit is, 13.0 or later")
set(SLORA_XGRAMMAR "auto" CACHE STRING "xgrammar, for structured output: the folder of its sources or of an installation, off, or auto: what tools/get_xgrammar fetched")
set(SLORA_SANITIZE "" CACHE STRING "Sanitizers for everything, for example address,undefined")

# -O3 is for kernels (src/kernels): elsewhere it costs time to compile and gains nothing that is measurable.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

# Paths below the checkout are hashed relative to it, so that another checkout of the same sources compiles nothing again. The sloppiness is what ccache
# asks for to cache objects that use a precompiled header just built.
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env "CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}" CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime "${CCACHE_PROGRAM}")
endif()

add_library(slora_options INTERFACE)
target_compile_options(slora_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Werror=return-type
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)  # g++ 12 sees overlaps in std::string that are not there (its bug 105329)
target_include_directories(slora_options INTERFACE "${CMAKE_SOURCE_DIR}/src")
if(SLORA_SANITIZE)
  target_compile_options(slora_options INTERFACE -fsanitize=${SLORA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(slora_options INTERFACE -fsanitize=${SLORA_SANITIZE})
endif()
if(SLORA_FUZZ)
  target_compile_options(slora_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
