#include <utility>

#include "backend/cuda/testing/emulated_backend.h"
#include "cuda_device.h"

namespace slora::testing {
namespace {

using cuda::EmulatedBackend;
using cuda::EmulatedDevice;

class EmulatedWatch final : public DeviceWatch {
 public:
  explicit EmulatedWatch(EmulatedDevice& device) : device_(device) {}

  void begin_step() override { device_.begin_step(); }
  void end_step() override { device_.end_step(); }
  std::string take_faults() override {
    std::string lines;
    for (const cuda::DeviceFault& fault : device_.take_faults()) lines += std::string(name_of(fault.kind)) + ": " + fault.what + "\n";
    return lines;
  }
  std::map<std::string, std::int64_t> waiting_calls() override { return device_.waiting_calls_in_steps(); }

 private:
  EmulatedDevice& device_;
};

}  // namespace

CudaDevice open_cuda_device(std::uint64_t seed) {
  auto backend = std::make_unique<EmulatedBackend>(
      EmulatedDevice::Options{.seed = seed, .pace = seed % 2 == 0 ? EmulatedDevice::Pace::late : EmulatedDevice::Pace::anywhere});
  auto watch = std::make_unique<EmulatedWatch>(backend->device());
  return {std::move(backend), std::move(watch)};
}

}  // namespace slora::testing
