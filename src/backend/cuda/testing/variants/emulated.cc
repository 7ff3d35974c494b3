// What the tests of Ops run on: the CUDA backend on an emulated device.
#include "backend/cuda/testing/emulated_backend.h"
#include "backend/testing/op_fixture.h"

namespace slora::testing {

std::vector<Variant> ops_variants() {
  const auto make = []() -> std::unique_ptr<Backend> { return std::make_unique<cuda::EmulatedBackend>(cuda::EmulatedDevice::Options{}); };
  return {{.label = "cuda_emulated", .backend = "cuda_emulated", .make = make, .stride = 13}};
}

std::vector<Variant> ops_int8_variants() { return {}; }
std::vector<Variant> ops_int4_variants() { return {}; }

}  // namespace slora::testing
