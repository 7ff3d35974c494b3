#pragma once
#include <cstddef>

#include "base/result.h"
#include "kernels/cuda/stream.h"

namespace slora::cuda {

// One place in a group of devices that compute together, with the collectives that shards need: those of NCCL, or emulated ones in tests.
// They work on fp32 numbers in device memory, whose bits are moved as they are, and are enqueued in a stream: what they name may be written
// or freed when that work is done. Every rank of a group makes the same calls, in the same order and with the same counts; a call that one
// does not make holds up the others' devices. Used by its shard's thread; fails with E_DEVICE.
class NcclRank {
 public:
  virtual ~NcclRank() = default;
  // x [count] becomes the sum over ranks, with the same bits on all.
  [[nodiscard]] virtual Status all_reduce(Stream stream, float* x, std::size_t count) = 0;
  // to [ranks, count] becomes `from` [count] of all ranks.
  [[nodiscard]] virtual Status all_gather(Stream stream, float* to, const float* from, std::size_t count) = 0;
  // At rank 0, to [ranks - 1, count] becomes `from` [count] of the ranks that follow, which call send_to_first.
  [[nodiscard]] virtual Status receive_from_others(Stream stream, float* to, std::size_t count) = 0;
  [[nodiscard]] virtual Status send_to_first(Stream stream, const float* from, std::size_t count) = 0;
};

}  // namespace slora::cuda
