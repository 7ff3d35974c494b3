#include "kernels/cuda/emulator/grid_run.h"

#include <gtest/gtest.h>

#include <set>

#include "kernels/cuda/emulator/kernel_side.h"
#include "kernels/cuda/emulator/testing/device_array.h"

// Kernels of this file are compiled plainly: what is tested here is found without watching every access.
namespace slora::cuda {
namespace {

using emulator::Device;
using emulator::DeviceArray;
using emulator::Fault;
using emulator::FaultKind;

constexpr std::int32_t kThreads = 96;

struct ExchangeShared {
  std::int32_t values[kThreads];
};
__global__ void exchange_kernel(std::int32_t* out, bool has_barrier) {
  ExchangeShared& mine = shared<ExchangeShared>();
  const std::int32_t t = thread_index();
  mine.values[t] = 100 * block_index() + t;
  if (has_barrier) block_barrier();
  out[block_index() * kThreads + t] = mine.values[(t + 40) % kThreads];
}

std::vector<std::int32_t> exchange(std::uint64_t seed, bool has_barrier) {
  Device device({.seed = seed});
  const auto out = DeviceArray<std::int32_t>::unwritten(device, 20 * kThreads);
  launch(exchange_kernel, {20, kThreads, sizeof(ExchangeShared)}, device.stream(), out.data(), has_barrier);
  EXPECT_TRUE(device.faults().empty());
  return out.download();
}

TEST(GridRun, GivesTheSameResultInEveryOrderThatBarriersLeaveOpen) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const std::vector<std::int32_t> out = exchange(seed, true);
    for (std::int32_t i = 0; i < 20 * kThreads; ++i) {
      ASSERT_EQ(out[static_cast<std::size_t>(i)], 100 * (i / kThreads) + (i % kThreads + 40) % kThreads) << "seed " << seed;
    }
  }
}

TEST(GridRun, DrawsOrdersThatShowAMissingBarrier) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) EXPECT_NE(exchange(seed, false), exchange(seed, true)) << "seed " << seed;
}

TEST(GridRun, RepeatsTheOrderOfASeed) {
  EXPECT_EQ(exchange(7, false), exchange(7, false));
  EXPECT_NE(exchange(7, false), exchange(8, false));
}

// Faults that end a launch.
enum class Mistake : std::uint8_t {
  two_places,
  two_operations,
  barrier_and_warp,
  two_barriers,
  early_return,
  early_return_of_a_warp,
  large_struct,
  odd_copy,
  copy_beyond_shared,
  copy_from_host
};
struct MistakeShared {
  alignas(16) float values[64];
};
struct LargeShared {
  float values[65];
};
__global__ void mistaken_kernel(Mistake mistake, const float* in) {
  MistakeShared& mine = shared<MistakeShared>();
  const std::int32_t t = thread_index();
  float value = static_cast<float>(t);
  switch (mistake) {
    case Mistake::two_places:
      value = t % 2 == 0 ? shuffle_xor(value, 1) : shuffle_xor(value, 1);
      break;
    case Mistake::two_operations:
      if (t == 5) {
        warp_barrier();
      } else {
        value = shuffle(value, 0);
      }
      break;
    case Mistake::barrier_and_warp:
      if (t < 16) {
        block_barrier();
      } else {
        warp_barrier();
      }
      break;
    case Mistake::two_barriers:
      if (t < 32) {
        block_barrier();
      } else {
        block_barrier();
      }
      break;
    case Mistake::early_return:
      if (t == 9) return;
      value = shuffle(value, 0);
      break;
    case Mistake::early_return_of_a_warp:
      if (t >= 32) return;
      block_barrier();
      break;
    case Mistake::large_struct:
      shared<LargeShared>().values[0] = value;
      break;
    case Mistake::odd_copy:
      copy_async<16>(mine.values, in + 1);
      break;
    case Mistake::copy_beyond_shared:
      copy_async<16>(mine.values + 64, in);
      break;
    case Mistake::copy_from_host: {
      alignas(16) const float local[4] = {};
      copy_async<16>(mine.values, local);
      break;
    }
  }
}

TEST(GridRun, EndsALaunchWithBothPlacesWhenThreadsCannotMeet) {
  const std::vector<std::pair<Mistake, FaultKind>> cases{{Mistake::two_places, FaultKind::different_operations},
                                                         {Mistake::two_operations, FaultKind::different_operations},
                                                         {Mistake::barrier_and_warp, FaultKind::different_operations},
                                                         {Mistake::two_barriers, FaultKind::different_operations},
                                                         {Mistake::early_return, FaultKind::ended_thread},
                                                         {Mistake::early_return_of_a_warp, FaultKind::ended_thread}};
  for (const auto& [mistake, kind] : cases) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
      Device device({.seed = seed});
      const DeviceArray<float> in(device, std::vector<float>(64, 1.0f));
      launch(mistaken_kernel, {3, 64, sizeof(MistakeShared)}, device.stream(), mistake, in.data());
      const std::vector<Fault> faults = device.take_faults();
      ASSERT_EQ(faults.size(), 1u) << "mistake " << static_cast<int>(mistake) << " seed " << seed;
      EXPECT_EQ(name_of(faults[0].kind), name_of(kind)) << to_text(faults[0]);
      EXPECT_EQ(faults[0].first.block, faults[0].second.block);
      EXPECT_NE(faults[0].first.thread, faults[0].second.thread) << to_text(faults[0]);
      // The device goes on.
      launch(exchange_kernel, {1, kThreads, sizeof(ExchangeShared)}, device.stream(),
             DeviceArray<std::int32_t>::unwritten(device, kThreads).data(), true);
      EXPECT_TRUE(device.faults().empty());
    }
  }
}

TEST(GridRun, EndsALaunchThatCannotGoOn) {
  const std::vector<std::pair<Mistake, FaultKind>> cases{{Mistake::large_struct, FaultKind::shared_too_small},
                                                         {Mistake::odd_copy, FaultKind::misaligned},
                                                         {Mistake::copy_beyond_shared, FaultKind::out_of_bounds},
                                                         {Mistake::copy_from_host, FaultKind::out_of_bounds}};
  for (const auto& [mistake, kind] : cases) {
    Device device({.seed = 3});
    const DeviceArray<float> in(device, std::vector<float>(64, 1.0f));
    launch(mistaken_kernel, {2, 64, sizeof(MistakeShared)}, device.stream(), mistake, in.data());
    ASSERT_EQ(device.faults().size(), 1u) << static_cast<int>(mistake);
    EXPECT_EQ(name_of(device.faults()[0].kind), name_of(kind)) << to_text(device.faults()[0]);
  }
}

TEST(GridRun, RefusesShapesThatNoDeviceHas) {
  for (const LaunchShape& shape : {LaunchShape{1, 48}, LaunchShape{1, 2048}, LaunchShape{0, 32}, LaunchShape{1, 32, 97 << 10}}) {
    Device device({.seed = 1});
    launch(exchange_kernel, shape, device.stream(), nullptr, true);
    ASSERT_EQ(device.faults().size(), 1u);
    EXPECT_EQ(name_of(device.faults()[0].kind), name_of(FaultKind::bad_launch));
  }
}

// Each block adds its part; the last that arrives sums the parts, as a product with split sums does.
__global__ void last_arriver_kernel(std::int32_t* parts, std::uint32_t* arrived, std::int32_t* sum) {
  if (thread_index() != 0) return;
  parts[block_index()] = block_index() + 1;
  if (atomic_add(arrived, 1) + 1 != static_cast<std::uint32_t>(block_count())) return;
  *sum = 0;
  for (std::int32_t i = 0; i < block_count(); ++i) *sum += parts[i];
}

TEST(GridRun, MixesTheThreadsOfResidentBlocks) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Device device({.seed = seed});
    const auto parts = DeviceArray<std::int32_t>::unwritten(device, 30);
    const DeviceArray<std::uint32_t> arrived(device, {0});
    const auto sum = DeviceArray<std::int32_t>::unwritten(device, 1);
    launch(last_arriver_kernel, {30, 32}, device.stream(), parts.data(), arrived.data(), sum.data());
    ASSERT_TRUE(device.faults().empty()) << to_text(device.faults()[0]);
    EXPECT_EQ(sum.download()[0], 30 * 31 / 2);
  }
}

__global__ void overflow_kernel(float* out, std::int32_t index) { out[index] = 1; }

TEST(GridRun, NoticesWritesNextToAnAllocation) {
  Device device({.seed = 1});
  const auto out = DeviceArray<float>::unwritten(device, 10);
  for (const std::int32_t index : {-1, 10}) {
    launch(overflow_kernel, {1, 32}, device.stream(), out.data(), index);
    ASSERT_EQ(device.faults().size(), 1u);
    EXPECT_EQ(name_of(device.take_faults()[0].kind), name_of(FaultKind::overwritten_guard));
  }
  launch(overflow_kernel, {1, 32}, device.stream(), out.data(), 9);
  EXPECT_TRUE(device.faults().empty());
}

TEST(GridRun, HasMemoryBeyondFourGibibytes) {
  Device device({.seed = 1});
  const std::size_t bytes = std::size_t{5} << 30;
  std::byte* const begin = device.memory().allocate_sparse(bytes);
  launch(overflow_kernel, {1, 32}, device.stream(), reinterpret_cast<float*>(begin + bytes - 64), 3);
  EXPECT_TRUE(device.faults().empty());
  float value = 0;
  device.download(&value, begin + bytes - 64 + 3 * sizeof(float), sizeof(value));
  EXPECT_EQ(value, 1);
}

}  // namespace
}  // namespace slora::cuda
