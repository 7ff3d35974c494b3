#include "backend/cuda/cudart/cudart_device.h"
#include "kernels_device.h"

namespace slora::cuda {

Result<std::unique_ptr<DeviceApi>> open_kernels_device() { return open_cudart_device(0); }

}  // namespace slora::cuda
