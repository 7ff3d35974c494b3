#include "comm/nccl/library/nccl_library.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <vector>

#include "backend/cuda/cudart/cudart_device.h"
#include "comm/nccl/testing/communicator_checks.h"

namespace slora::cuda {
namespace {

constexpr int kRanks = 2;

TEST(NcclLibrary, RefusesWhatIsNotThereOrIsNoNccl) {
  const auto missing = load_nccl("/nonexistent/libnccl.so.2");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, "E_NCCL");
  EXPECT_NE(missing.error().message.find("/nonexistent/libnccl.so.2"), std::string::npos) << missing.error().message;
  const auto other = load_nccl("libm.so.6");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().message, "libm.so.6: expected a function ncclGetVersion; it is no NCCL of 2.13 or later");
}

TEST(NcclLibrary, TellsItsVersion) {
  const auto nccl = load_nccl();
  if (!nccl) GTEST_SKIP() << nccl.error().message;
  EXPECT_TRUE((*nccl)->version().starts_with("2.")) << (*nccl)->version();
}

// Two devices, or one that both ranks share where NCCL lets them.
TEST(NcclLibrary, RanksExchangeWhatThreadsThatShareMemoryDo) {
  const auto nccl = load_nccl();
  if (!nccl) GTEST_SKIP() << nccl.error().message;
  std::vector<std::unique_ptr<DeviceApi>> devices;
  for (std::int32_t index = 0; index < kRanks; ++index) {
    Result<std::unique_ptr<DeviceApi>> device = open_cudart_device(index);
    if (!device && index == 0) GTEST_SKIP() << device.error().message;
    if (!device) {
      if (!(*nccl)->may_share_devices()) {
        GTEST_SKIP() << "one device, and NCCL " << (*nccl)->version() << " lets no two ranks share it: that takes 2.30 or later";
      }
      setenv("NCCL_MULTI_RANK_GPU_ENABLE", "1", 0);
      device = open_cudart_device(0);
    }
    ASSERT_TRUE(device) << device.error().message;
    devices.push_back(*std::move(device));
  }
  const Result<NcclLibrary::GroupId> group = (*nccl)->make_group();
  ASSERT_TRUE(group) << group.error().message;
  std::vector<CheckedShard> shards;
  for (int rank = 0; rank < kRanks; ++rank) {
    shards.push_back({devices[static_cast<std::size_t>(rank)].get(), [&, rank]() -> Result<std::unique_ptr<NcclRank>> {
                        // Which makes the device the thread's.
                        if (auto memory = devices[static_cast<std::size_t>(rank)]->memory(); !memory) return forward_error(memory);
                        return (*nccl)->join(*group, rank, kRanks);
                      }});
  }
  EXPECT_EQ(check_communicators(shards, 4096, 1), "");
}

}  // namespace
}  // namespace slora::cuda
