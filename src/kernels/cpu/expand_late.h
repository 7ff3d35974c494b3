#pragma once
#include <span>
#include <vector>

#include "kernels/cpu/kernels.h"

namespace slora::cpu {

// Adds records of few rows to a product that is done: y[t, slice] += weight * (scale * B z[t] + record bias), in their order. Such records
// cost the bytes of B, which are read fastest in long runs and not column by column as the product goes along; while y is small, to come
// back to it costs little. Bits are those of ExpandKernel. Holds scratch; owned by a Linear, called by its backend's engine thread.
class ExpandLate {
 public:
  ExpandLate(const Kernels& kernels, ThreadPool& pool) : kernels_(kernels), pool_(pool) {}

  // Picks some of the records over a batch of `rows` rows. They and z [T, z columns] fp32 stay until the next call.
  void pick(Tensor z, std::span<const AppliedRecord> records, std::int64_t rows);
  [[nodiscard]] bool empty() const { return bands_.empty(); }
  [[nodiscard]] bool holds(const AppliedRecord& record) const;
  // y [T, out] fp32
  void run(Tensor y);

 private:
  const Kernels& kernels_;
  ThreadPool& pool_;
  Tensor z_;
  std::vector<std::span<const AppliedRecord>> bands_;  // records over the same rows, in their order
  std::vector<ExpandLateTurn> turns_;
};

}  // namespace slora::cpu
