#pragma once
#include <memory>

#include "backend/backend.h"
#include "backend/cuda/base_product.h"
#include "backend/cuda/device_api.h"

namespace slora::cuda {

// A backend that computes on a CUDA device, which outlives it: bf16 weights, KV, adapters and products, fp32 sums. Refuses weights in int8,
// and reports what the device refuses. It calls the launchers of kernels/cuda: the program links these as they were compiled for the device
// that it brings, by nvcc or for the emulator. `product`, which may be null, multiplies by weights without a bias where it can; what it
// can't do, the kernels do.
[[nodiscard]] Result<std::unique_ptr<Backend>> create_cuda_backend(DeviceApi& device, const BackendOptions& options,
                                                                   std::unique_ptr<BaseProduct> product = nullptr);

}  // namespace slora::cuda
