// What the tests of Ops run on: the CUDA backend on an emulated device that watches every access of kernels, which were compiled for it.
#include <string>

#include "backend/cuda/testing/emulated_backend.h"
#include "backend/testing/op_fixture.h"

namespace slora::testing {
namespace {

// Tells what the device found when it ends.
class WatchedBackend final : public ForwardingBackend {
 public:
  WatchedBackend()
      : ForwardingBackend(std::make_unique<cuda::EmulatedBackend>(cuda::EmulatedDevice::Options{.are_kernels_watched = true})) {}
  ~WatchedBackend() override {
    for (const cuda::DeviceFault& fault : static_cast<cuda::EmulatedBackend&>(inner()).device().take_faults()) {
      ADD_FAILURE() << name_of(fault.kind) << ": " << fault.what;
    }
  }
  WatchedBackend(const WatchedBackend&) = delete;
  WatchedBackend& operator=(const WatchedBackend&) = delete;
};

}  // namespace

std::vector<Variant> ops_variants() {
  const auto make = []() -> std::unique_ptr<Backend> { return std::make_unique<WatchedBackend>(); };
  return {{.label = "cuda_watched", .backend = "cuda_emulated", .make = make, .stride = 50}};
}

std::vector<Variant> ops_int8_variants() { return {}; }
std::vector<Variant> ops_int4_variants() { return {}; }

}  // namespace slora::testing
