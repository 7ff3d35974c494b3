#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "backend/cuda/device_api.h"
#include "comm/nccl/nccl_rank.h"

namespace slora::cuda {

// A shard's device, and its place in the group. `join` is called by all shards' threads at the same time.
struct CheckedShard {
  DeviceApi* device = nullptr;
  std::function<Result<std::unique_ptr<NcclRank>>()> join;
};

// Does every collective of NcclCommunicators on these shards, one thread each, with tensors of many shapes that lie in rows of any length,
// and compares each number, and those between rows, with what ThreadCommunicators give for the same. `numbers_at_once`: of
// NcclCommunicator::Options, so that tensors are exchanged in one block or in many. Returns what was wrong, or nothing. With more than two
// shards, sums must be in the shards' order.
[[nodiscard]] std::string check_communicators(std::span<const CheckedShard> shards, std::size_t numbers_at_once, std::uint64_t seed);

}  // namespace slora::cuda
