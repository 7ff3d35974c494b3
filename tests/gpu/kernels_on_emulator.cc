#include "backend/cuda/testing/emulated_device.h"
#include "kernels_device.h"

namespace slora::cuda {

Result<std::unique_ptr<DeviceApi>> open_kernels_device() { return std::make_unique<EmulatedDevice>(EmulatedDevice::Options{}); }

}  // namespace slora::cuda
