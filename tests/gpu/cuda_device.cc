// What the tests of ops, of golden models and of the engine compute on: the machine's first GPU, through the module that `slora` loads.
#include "cuda_device.h"

#include <stdexcept>
#include <utility>

#include "backend/backend.h"
#include "backend/testing/op_fixture.h"

namespace slora::testing {
namespace {

std::unique_ptr<Backend> open_gpu() {
  Result<std::unique_ptr<Backend>> backend = create_backend("cuda", {.cuda_products = CudaProducts::SLORA_CUDA_PRODUCTS});
  if (!backend) throw std::runtime_error(backend.error().message);  // a failure of the test
  return *std::move(backend);
}

}  // namespace

CudaDevice open_cuda_device(std::uint64_t) { return {open_gpu(), std::make_unique<DeviceWatch>()}; }

std::vector<Variant> ops_variants() { return {{.label = "cuda", .backend = "cuda", .make = open_gpu}}; }
std::vector<Variant> ops_int8_variants() { return {}; }

}  // namespace slora::testing
