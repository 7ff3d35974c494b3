#pragma once
#include <memory>

#include "backend/cuda/device_api.h"
#include "base/result.h"

namespace slora::cuda {

// The device of the checks of kernels, and of launches: a program links kernels_on_gpu.cc with the kernels that nvcc compiled, or
// kernels_on_emulator.cc with those for the emulator.
[[nodiscard]] Result<std::unique_ptr<DeviceApi>> open_kernels_device();

}  // namespace slora::cuda
