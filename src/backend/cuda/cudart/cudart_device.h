#pragma once
#include <cstdint>
#include <memory>

#include "backend/cuda/device_api.h"
#include "base/result.h"

namespace slora::cuda {

// Opens one of the machine's CUDA devices. Refuses with E_DEVICE, saying why, where there is none, no driver, or a device older than
// compute capability 8.0. A thread that launches kernels must be the one that opened it, or have set the device itself.
[[nodiscard]] Result<std::unique_ptr<DeviceApi>> open_cudart_device(std::int32_t index);

}  // namespace slora::cuda
