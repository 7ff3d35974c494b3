// Shards that are about to do different things. Apart from the other tests of NcclCommunicator, which seeded bugs are run with.
#include <gtest/gtest.h>

#include <thread>
#include <utility>
#include <vector>

#include "backend/cuda/testing/emulated_device.h"
#include "comm/nccl/nccl_communicator.h"
#include "comm/nccl/testing/emulated_nccl.h"

namespace slora::cuda {
namespace {

TEST(NcclCommunicatorDeathTest, EndsTheProcessWhenShardsDisagree) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto disagree = [] {
    EmulatedDevice device({});
    std::vector<std::unique_ptr<NcclRank>> ranks = make_emulated_ranks(device, 2, 64);
    std::vector<std::jthread> threads;
    for (int index = 0; index < 2; ++index) {
      threads.emplace_back([&, index] {
        const Stream stream = device.make_stream(StreamPriority::high).value();
        NcclCommunicator::create(device, stream, std::move(ranks[static_cast<std::size_t>(index)]),
                                 {.shard_index = index, .shard_count = 2, .numbers_at_once = 64})
            .value()
            ->expect_same(0x10 + static_cast<std::uint64_t>(index));
      });
    }
  };
  EXPECT_DEATH(disagree(), "shard 1: expected the same value as on shard 0, 0x10; found 0x11");
}

}  // namespace
}  // namespace slora::cuda
