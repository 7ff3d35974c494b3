// The module slora_cuda.so: the CUDA backend with the kernels as nvcc compiled them, for programs that load it (backend/device_module.h).
#include <fmt/format.h>

#include <string>
#include <utility>

#include "backend/cuda/cublas/open_cublas.h"
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
  ModuleBackend(std::unique_ptr<DeviceApi> device, std::unique_ptr<Backend> backend, std::string products)
      : DeviceOwner(std::move(device)), ForwardingBackend(std::move(backend)), products_(std::move(products)) {}

  std::string description() const override { return fmt::format("{}, products by {}", ForwardingBackend::description(), products_); }

 private:
  const std::string products_;  // what computes them
};

// Whose products the backend uses. A library that can't be used is no reason not to start: it is for speed alone.
OpenedCublas open_product(DeviceApi& device, CudaProducts wanted) {
  if (wanted == CudaProducts::own) return {nullptr, "own kernels"};
  Result<OpenedCublas> opened = open_cublas(device);
  if (opened) return *std::move(opened);
  return {nullptr, fmt::format("own kernels, not as --cuda-products asks: {}", opened.error().message)};
}

Result<std::unique_ptr<Backend>> create(const BackendOptions& options) {
  Result<std::unique_ptr<DeviceApi>> device = open_cudart_device(kDeviceIndex);
  if (!device) return forward_error(device);
  OpenedCublas products = open_product(**device, options.cuda_products);
  Result<std::unique_ptr<Backend>> backend = create_cuda_backend(**device, options, std::move(products.product));
  if (!backend) return forward_error(backend);
  return std::make_unique<ModuleBackend>(*std::move(device), *std::move(backend), std::move(products.name));
}

}  // namespace
}  // namespace slora::cuda

extern "C" const slora::DeviceModule slora_device_module;
const slora::DeviceModule slora_device_module{slora::build_id().data(), slora::cuda::create};
