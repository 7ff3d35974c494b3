#pragma once
#include <functional>
#include <memory>

#include "backend/cuda/base_product.h"
#include "backend/cuda/testing/emulated_device.h"
#include "backend/forwarding_backend.h"

namespace slora::cuda {

// Owns the device of an EmulatedBackend: a base, so that it outlives what uses it.
class EmulatedDeviceOwner {
 protected:
  explicit EmulatedDeviceOwner(const EmulatedDevice::Options& options) : device_(options) {}
  EmulatedDevice device_;
};

// The CUDA backend on an emulated device that is its own. The program links the kernels as they are compiled for the emulator.
class EmulatedBackend final : private EmulatedDeviceOwner, public ForwardingBackend {
 public:
  explicit EmulatedBackend(const EmulatedDevice::Options& options);
  // With products by something else.
  using MakeProduct = std::function<std::unique_ptr<BaseProduct>(EmulatedDevice&)>;
  EmulatedBackend(const EmulatedDevice::Options& options, const MakeProduct& make_product);

  std::string_view name() const override { return "cuda_emulated"; }
  [[nodiscard]] EmulatedDevice& device() { return device_; }
};

}  // namespace slora::cuda
