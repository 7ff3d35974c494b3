#include <gtest/gtest.h>

#include "kernels/cuda/testing/kernel_checks.h"

// Built twice: with plain kernels, and with kernels whose every access is watched.
namespace slora::cuda {
namespace {

class Kernels : public ::testing::TestWithParam<KernelCheck> {};

TEST_P(Kernels, EqualPlainLoopsInAnyShapeAndOrder) {
  constexpr std::uint64_t kSeeds = 60;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    ASSERT_EQ(GetParam().run(seed), "") << "seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(Cuda, Kernels, ::testing::ValuesIn(kernel_checks().begin(), kernel_checks().end()),
                         [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace slora::cuda
