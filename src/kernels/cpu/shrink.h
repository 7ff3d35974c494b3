#pragma once
#include <span>
#include <vector>

#include "kernels/cpu/kernels.h"

namespace slora::cpu {

// z[t, z_begin + j] = rank_gain[j] * A[j, :] x[t, :] for every applied record over row t. x [T, in] bf16, A [rank, in] bf16 in tiles, z
// fp32; the rest of z stays as it is. The rows under one record share one pass over its A. Holds scratch; owned by a backend, called by its
// engine thread.
class Shrink {
 public:
  Shrink(const Kernels& kernels, ThreadPool& pool) : kernels_(kernels), pool_(pool) {}

  void run(Tensor z, Tensor x, std::span<const AppliedRecord> records);

 private:
  [[nodiscard]] std::int32_t ranks_per_item(std::span<const AppliedRecord> records) const;
  void multiply_ranks(Tensor z, const AppliedRecord& applied);

  const Kernels& kernels_;
  ThreadPool& pool_;
  std::vector<ShrinkCall> calls_;
};

}  // namespace slora::cpu
