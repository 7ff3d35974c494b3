#pragma once
#include <cstddef>
#include <memory>
#include <vector>

#include "backend/cuda/device_api.h"
#include "comm/nccl/nccl_rank.h"

namespace slora::cuda {

// A group whose ranks are streams of one emulated device, each called by a thread of its own: a rank's collective starts when its stream
// comes to it and ends when those of all ranks have come, in any order that the device may choose. The host's threads meet in every call,
// and the process ends when their calls or counts differ, where NCCL would hang.
// Sums are in the order of ranks. The device outlives the ranks. Collectives of at most `count_max` numbers of each rank.
[[nodiscard]] std::vector<std::unique_ptr<NcclRank>> make_emulated_ranks(DeviceApi& device, int rank_count, std::size_t count_max);

}  // namespace slora::cuda
