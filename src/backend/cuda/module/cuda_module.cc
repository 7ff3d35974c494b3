// The module slora_cuda.so: the CUDA backend with the kernels as nvcc compiled them, for programs that load it (backend/device_module.h).
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/cudart/cudart_device.h"
#include "backend/device_module.h"
#include "backend/forwarding_backend.h"

namespace slora::cuda {
namespace {

// The machine's first device, on which every thread of a process begins. CUDA_VISIBLE_DEVICES decides which that is.
constexpr std::int32_t kDeviceIndex = 0;

// Owns the device of a ModuleBackend: a base, so that it outlives what uses it.
class DeviceOwner {
 protected:
  explicit DeviceOwner(std::unique_ptr<DeviceApi> device) : device_(std::move(device)) {}

 private:
  const std::unique_ptr<DeviceApi> device_;
};

// The CUDA backend with its device.
class ModuleBackend final : private DeviceOwner, public ForwardingBackend {
 public:
  ModuleBackend(std::unique_ptr<DeviceApi> device, std::unique_ptr<Backend> backend)
      : DeviceOwner(std::move(device)), ForwardingBackend(std::move(backend)) {}
};

Result<std::unique_ptr<Backend>> create(const BackendOptions& options) {
  Result<std::unique_ptr<DeviceApi>> device = open_cudart_device(kDeviceIndex);
  if (!device) return forward_error(device);
  Result<std::unique_ptr<Backend>> backend = create_cuda_backend(**device, options);
  if (!backend) return forward_error(backend);
  return std::make_unique<ModuleBackend>(*std::move(device), *std::move(backend));
}

}  // namespace
}  // namespace slora::cuda

extern "C" const slora::DeviceModule slora_device_module;
const slora::DeviceModule slora_device_module{slora::build_id().data(), slora::cuda::create};
