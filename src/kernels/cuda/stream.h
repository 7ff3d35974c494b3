#pragma once

struct CUstream_st;  // the type behind cudaStream_t

namespace slora::cuda {

// In which order a device works: what is launched into one stream runs one after another. The caller's; of the CUDA runtime, or of an
// emulated device.
using Stream = CUstream_st*;

}  // namespace slora::cuda
