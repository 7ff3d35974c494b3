#include "comm/nccl/nccl_communicator.h"

#include <gtest/gtest.h>

#include <vector>

#include "backend/cuda/device_owners.h"
#include "backend/cuda/testing/emulated_device.h"
#include "comm/nccl/testing/communicator_checks.h"
#include "comm/nccl/testing/emulated_nccl.h"

namespace slora::cuda {
namespace {

constexpr std::size_t kNumbersAtOnce = 4096;

std::vector<CheckedShard> emulated_shards(EmulatedDevice& device, int shard_count) {
  std::vector<CheckedShard> shards;
  for (std::unique_ptr<NcclRank>& rank : make_emulated_ranks(device, shard_count, kNumbersAtOnce)) {
    const auto shared = std::make_shared<std::unique_ptr<NcclRank>>(std::move(rank));  // a function is copied
    shards.push_back({&device, [shared]() -> Result<std::unique_ptr<NcclRank>> { return std::move(*shared); }});
  }
  return shards;
}

TEST(NcclCommunicator, GivesWhatThreadsThatShareMemoryGive) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    const int shard_count = seed % 3 == 0 ? 3 : 2;
    EmulatedDevice device({.seed = seed, .pace = seed % 2 == 0 ? EmulatedDevice::Pace::late : EmulatedDevice::Pace::anywhere});
    const std::size_t numbers_at_once = seed % 4 < 2 ? kNumbersAtOnce : 40;  // blocks of a row or a few
    EXPECT_EQ(check_communicators(emulated_shards(device, shard_count), numbers_at_once, seed), "") << "seed " << seed;
    for (const DeviceFault& fault : device.take_faults()) ADD_FAILURE() << name_of(fault.kind) << ": " << fault.what;
    EXPECT_EQ(device.live_count(), 0) << "seed " << seed;
  }
}

// Collectives are enqueued: nothing of them may wait for the device, or a step would.
TEST(NcclCommunicator, WaitsForNothingInAStep) {
  EmulatedDevice device({});
  std::vector<std::unique_ptr<NcclRank>> ranks = make_emulated_ranks(device, 1, kNumbersAtOnce);
  const Stream stream = device.make_stream(StreamPriority::high).value();
  const std::unique_ptr<NcclCommunicator> communicator =
      NcclCommunicator::create(device, stream, std::move(ranks[0]), {.numbers_at_once = kNumbersAtOnce}).value();
  const Buffer memory = allocate_buffer(device, 4096).value();
  const Tensor x{memory.data(), DType::f32, 3, 8, 10};
  device.begin_step();
  communicator->all_reduce(x);
  communicator->gather(x);
  communicator->gather_to_first(x);
  device.end_step();
  EXPECT_TRUE(device.waiting_calls_in_steps().empty());
  EXPECT_TRUE(device.synchronise(stream));
}

TEST(NcclCommunicator, TellsEveryErrorOfTheDeviceWhenItIsMade) {
  std::int32_t refused = 0;
  for (std::int64_t number = 0;; ++number) {
    EmulatedDevice device({});
    std::vector<std::unique_ptr<NcclRank>> ranks = make_emulated_ranks(device, 1, 64);
    const Stream stream = device.make_stream(StreamPriority::high).value();
    device.fail_call(number);
    const Result<std::unique_ptr<NcclCommunicator>> made = NcclCommunicator::create(device, stream, std::move(ranks[0]), {});
    if (made) break;
    EXPECT_NE(made.error().message.find("failed as a test asked for"), std::string::npos);
    ++refused;
  }
  EXPECT_EQ(refused, 4);
}

}  // namespace
}  // namespace slora::cuda
