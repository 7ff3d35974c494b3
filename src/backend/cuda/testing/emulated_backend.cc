#include "backend/cuda/testing/emulated_backend.h"

#include "backend/cuda/cuda_backend.h"

namespace slora::cuda {

EmulatedBackend::EmulatedBackend(const EmulatedDevice::Options& options)
    : EmulatedDeviceOwner(options), ForwardingBackend(create_cuda_backend(device_, {}).value()) {}

EmulatedBackend::EmulatedBackend(const EmulatedDevice::Options& options, const MakeProduct& make_product)
    : EmulatedDeviceOwner(options), ForwardingBackend(create_cuda_backend(device_, {}, make_product(device_)).value()) {}

}  // namespace slora::cuda
