#include "kernels/cuda/emulator/warp_operation.h"

#include <gtest/gtest.h>

#include <random>

#include "kernels/cuda/emulator/kernel_side.h"
#include "kernels/cuda/emulator/testing/device_array.h"

namespace slora::cuda {
namespace {

using emulator::Device;
using emulator::DeviceArray;

// One product of a warp: d [16, 8] = a [16, 16] b [16, 8], both in bf16 and row-major, through shared memory.
struct ProductShared {
  alignas(16) Bfloat16 a[16][24];  // rows 48 bytes apart: eight of them in different banks
  alignas(16) Bfloat16 b[16][8];
};
__global__ void product_kernel(float* out, const Bfloat16* a, const Bfloat16* b) {
  ProductShared& mine = shared<ProductShared>();
  const std::int32_t lane = thread_index();
  for (std::int32_t i = lane; i < 16 * 16; i += 32) mine.a[i / 16][i % 16] = a[i];
  for (std::int32_t i = lane; i < 16 * 8; i += 32) mine.b[i / 8][i % 8] = b[i];
  warp_barrier();
  std::uint32_t a_words[4], b_words[2];
  load_matrices(a_words, &mine.a[lane % 16][8 * (lane / 16)]);
  load_matrices_transposed(b_words, &mine.b[lane % 16][0]);
  float sum[4] = {};
  mma_m16n8k16(sum, a_words, b_words);
  for (std::int32_t i = 0; i < 4; ++i) out[(lane / 4 + 8 * (i / 2)) * 8 + 2 * (lane % 4) + i % 2] = sum[i];
}

TEST(WarpOperation, ProductOfLoadedMatricesEqualsLoops) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<float> number(-1, 1);
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    std::vector<Bfloat16> a(16 * 16), b(16 * 8);
    for (Bfloat16& value : a) value = to_bfloat16(number(random));
    for (Bfloat16& value : b) value = to_bfloat16(number(random));
    Device device({.seed = seed});
    const DeviceArray<Bfloat16> device_a(device, a), device_b(device, b);
    const auto out = DeviceArray<float>::unwritten(device, 16 * 8);
    launch(product_kernel, {1, 32, sizeof(ProductShared)}, device.stream(), out.data(), device_a.data(), device_b.data());
    ASSERT_TRUE(device.faults().empty()) << to_text(device.faults()[0]);
    const std::vector<float> result = out.download();
    for (std::size_t row = 0; row < 16; ++row) {
      for (std::size_t column = 0; column < 8; ++column) {
        double expected = 0;
        for (std::size_t k = 0; k < 16; ++k) expected += static_cast<double>(to_float(a[16 * row + k])) * to_float(b[8 * k + column]);
        EXPECT_NEAR(result[8 * row + column], expected, 1e-5);
      }
    }
  }
}

__global__ void shuffles_kernel(std::uint32_t* out) {
  const std::int32_t lane = thread_index();
  out[lane] = static_cast<std::uint32_t>(shuffle(lane * 10, (lane + 5) % 32));
  out[32 + lane] = static_cast<std::uint32_t>(shuffle_xor(lane, 9));
}

TEST(WarpOperation, ShufflesReachEveryLane) {
  Device device({.seed = 5});
  const auto out = DeviceArray<std::uint32_t>::unwritten(device, 64);
  launch(shuffles_kernel, {1, 32}, device.stream(), out.data());
  const std::vector<std::uint32_t> result = out.download();
  for (std::uint32_t lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(result[lane], (lane + 5) % 32 * 10);
    EXPECT_EQ(result[32 + lane], lane ^ 9);
  }
}

struct CopyShared {
  alignas(16) float values[3][32];
};
__global__ void copy_kernel(float* out, const float* in) {
  CopyShared& mine = shared<CopyShared>();
  const std::int32_t lane = thread_index();
  copy_async<4>(&mine.values[0][lane], in + lane);
  commit_copies();
  if (lane < 8) copy_async<16>(&mine.values[1][4 * lane], in + 4 * lane, lane == 7 ? 8 : 16);
  commit_copies();
  if (lane < 16) copy_async<8>(&mine.values[2][2 * lane], in + 2 * lane, lane < 4 ? 0 : 8);
  commit_copies();
  for (std::int32_t row = 0; row < 3; ++row) {
    if (row == 0) wait_copies<2>();
    if (row == 1) wait_copies<1>();
    if (row == 2) wait_copies<0>();
    warp_barrier();
    out[32 * row + lane] = mine.values[row][lane];
  }
}

TEST(WarpOperation, CopiesLandBeforeTheirWaitAndFillWithZeros) {
  std::vector<float> in(32);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i) + 1;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Device device({.seed = seed});
    const DeviceArray<float> device_in(device, in);
    const auto out = DeviceArray<float>::unwritten(device, 96);
    launch(copy_kernel, {1, 32, sizeof(CopyShared)}, device.stream(), out.data(), device_in.data());
    ASSERT_TRUE(device.faults().empty()) << to_text(device.faults()[0]);
    const std::vector<float> result = out.download();
    for (std::size_t i = 0; i < 32; ++i) {
      EXPECT_EQ(result[i], in[i]);
      EXPECT_EQ(result[32 + i], i < 30 ? in[i] : 0.0f);
      EXPECT_EQ(result[64 + i], i < 8 ? 0.0f : in[i]);
    }
  }
}

}  // namespace
}  // namespace slora::cuda
