#pragma once
#include <span>
#include <vector>

#include "kernels/cpu/kernels.h"

namespace slora::cpu {

// Adds records of few rows after the whole product: y[t, slice] += weight * (scale * B z[t] + record bias), in their order. The cost of
// such records is reading B, which is fastest in long runs; adding them panel by panel during the product would read B in short pieces.
// Reading y again costs little while it is small. Gives the same bits as ExpandKernel. Holds scratch; owned by a Linear, called by its
// backend's engine thread.
class ExpandDeferred {
 public:
  ExpandDeferred(const Kernels& kernels, ThreadPool& pool) : kernels_(kernels), pool_(pool) {}

  // Selects which of the records to defer, for a batch of `rows` rows. Borrows them and z [T, z columns] fp32 until the next call.
  void pick(Tensor z, std::span<const AppliedRecord> records, std::int64_t rows);
  [[nodiscard]] bool empty() const { return bands_.empty(); }
  [[nodiscard]] bool holds(const AppliedRecord& record) const;
  // Adds the selected records. y [T, out] fp32
  void run(Tensor y);

 private:
  const Kernels& kernels_;
  ThreadPool& pool_;
  Tensor z_;
  std::vector<std::span<const AppliedRecord>> bands_;  // each: consecutive records over the same rows
  std::vector<ExpandDeferredItem> items_;
};

}  // namespace slora::cpu
