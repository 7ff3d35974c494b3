#pragma once
#include <memory>

#include "backend/backend.h"
#include "backend/cuda/device_api.h"

namespace slora::cuda {

// A backend that computes on a CUDA device, which outlives it: bf16 weights, KV, adapters and products, fp32 sums. Refuses weights in int8,
// and tells what the device refuses. Where its kernels are compiled for is decided by what the program links.
[[nodiscard]] Result<std::unique_ptr<Backend>> create_cuda_backend(DeviceApi& device, const BackendOptions& options);

}  // namespace slora::cuda
