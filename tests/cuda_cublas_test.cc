// The network on the CUDA backend with products by cuBLASLt, of which a double computes, against transformers.
#include <gtest/gtest.h>

#include "backend/cuda/cublas/testing/fake_cublas.h"
#include "backend/cuda/testing/emulated_backend.h"
#include "golden_model.h"

namespace slora::testing {
namespace {

constexpr BackendCase kWithCublas{"cuda_emulated", false};

TEST(CudaCublas, ComputesAllProductsOfAModelWithoutBiases) {
  for (const char* const name : {"llama2_mha", "mistral_sliding"}) {
    cuda::FakeCublas* fake = nullptr;
    const auto make_product = [&](cuda::EmulatedDevice& device) {
      auto product = std::make_unique<cuda::FakeCublasProduct>(device);
      fake = &product->fake();
      return product;
    };
    const auto make_backend = [&]() -> std::unique_ptr<Backend> {
      return std::make_unique<cuda::EmulatedBackend>(cuda::EmulatedDevice::Options{}, make_product);
    };
    const Expected expected(name);
    const std::string prompt = expected.names_with("ids.").front().substr(4);
    GoldenModel model(name, {.page_tokens = 4, .make_backend = make_backend});
    const std::size_t asked = fake->asked.size();
    expect_close(model.run_alone(expected.tokens("ids." + prompt)), expected.floats("logits." + prompt), kWithCublas, name);
    const auto products = static_cast<std::size_t>(4 * model.config().layer_count + 1);  // of a forward pass
    EXPECT_EQ(fake->multiplied_by.size(), products) << name;
    EXPECT_EQ(fake->asked.size(), asked) << name;
    EXPECT_EQ(fake->fault, "") << name;
  }
}

}  // namespace
}  // namespace slora::testing
