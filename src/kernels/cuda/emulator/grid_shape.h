#pragma once
#include <cstddef>
#include <cstdint>
#include <source_location>

namespace slora::emulator {

using Place = std::source_location;  // of an operation in a kernel's source

struct GridShape {
  std::int32_t blocks;
  std::int32_t threads;  // of a block, a multiple of 32
  std::size_t shared_bytes = 0;
};

// A kernel with its parameters: call(bound) runs it for the current thread. `bound` lies on the host, and the kernel's copies of its
// parameters are made from it.
struct BoundKernel {
  void (*call)(const void* bound);
  const void* bound;
  std::size_t bound_bytes;
  bool is_watched;  // compiled for watching (watch.h)
};

}  // namespace slora::emulator
