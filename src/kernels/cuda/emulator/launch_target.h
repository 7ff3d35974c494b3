#pragma once
#include "kernels/cuda/emulator/grid_shape.h"

struct CUstream_st;  // the type behind cudaStream_t

namespace slora::emulator {

// What a kernel is launched into: a device, which runs it at once, or a queue that runs it later.
class LaunchTarget {
 public:
  // Requires of who runs it later: it copies the bytes of `kernel.bound` first, which are valid during the call only.
  virtual void launch(const GridShape& shape, const BoundKernel& kernel, const Place& place) = 0;

  // What kernels' launchers take (kernels/cuda/stream.h).
  [[nodiscard]] CUstream_st* stream() { return reinterpret_cast<CUstream_st*>(this); }
  static LaunchTarget& of(CUstream_st* stream) { return *reinterpret_cast<LaunchTarget*>(stream); }

 protected:
  ~LaunchTarget() = default;
};

}  // namespace slora::emulator
