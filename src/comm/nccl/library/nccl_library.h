#pragma once
#include <array>
#include <memory>
#include <string>

#include "base/result.h"
#include "comm/nccl/nccl_rank.h"

namespace slora::cuda {

// NCCL, from a shared library that stays loaded until the process ends. Any thread.
class NcclLibrary {
 public:
  // Of a group of ranks: one of them makes it, the others are told.
  using GroupId = std::array<char, 128>;

  virtual ~NcclLibrary() = default;
  // "2.28.9"
  [[nodiscard]] virtual std::string version() const = 0;
  // Whether it lets several ranks of a group be on one device, if the environment has NCCL_MULTI_RANK_GPU_ENABLE=1. No version lets them
  // without.
  [[nodiscard]] virtual bool may_share_devices() const = 0;
  [[nodiscard]] virtual Result<GroupId> make_group() const = 0;
  // A place in the group, on the calling thread's device. Returns when all ranks have called it, each on a thread of its own. The rank is
  // destroyed on that thread too, when all of its work is done.
  [[nodiscard]] virtual Result<std::unique_ptr<NcclRank>> join(const GroupId& group, int rank, int rank_count) const = 0;
};

// Loads `file`, which the system looks for unless it is a path. Refuses with E_NCCL what is not there or is older than 2.13.
[[nodiscard]] Result<std::unique_ptr<const NcclLibrary>> load_nccl(const std::string& file = "libnccl.so.2");

}  // namespace slora::cuda
