// What the tests of ops, of golden models and of the engine compute on: the machine's first GPU, through the module that `slora` loads.
#include "cuda_device.h"

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "backend/backend.h"
#include "backend/testing/op_fixture.h"

namespace slora::testing {
namespace {

constexpr CudaProducts kProducts = CudaProducts::SLORA_CUDA_PRODUCTS;

// What it throws is a failure of the test. The module goes on with its own kernels where it can't use cuBLASLt: these have a program of
// their own, and must not pass for cuBLASLt's products here.
std::unique_ptr<Backend> open_gpu() {
  Result<std::unique_ptr<Backend>> backend = create_backend("cuda", {.cuda_products = kProducts});
  if (!backend) throw std::runtime_error(backend.error().message);
  const std::string description = (*backend)->description();
  if (kProducts == CudaProducts::cublaslt && description.find("products by cuBLASLt") == std::string::npos) {
    throw std::runtime_error(fmt::format("expected a backend with products by cuBLASLt, found: {}", description));
  }
  return *std::move(backend);
}

}  // namespace

CudaDevice open_cuda_device(std::uint64_t) { return {open_gpu(), std::make_unique<DeviceWatch>()}; }

std::vector<Variant> ops_variants() { return {{.label = "cuda", .backend = "cuda", .make = open_gpu}}; }
std::vector<Variant> ops_int8_variants() { return {}; }
std::vector<Variant> ops_int4_variants() { return {}; }

}  // namespace slora::testing
