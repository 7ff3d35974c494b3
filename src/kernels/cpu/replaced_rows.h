#pragma once
#include <span>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/thread_pool.h"

namespace slora::cpu {

// Computes outputs of a product whose weights adapters have in place of the base's: y[t, slice_begin + row_ids[i]] = rows[i, :] x[t, :].
// Holds scratch; owned by a Linear, called by its backend's engine thread.
class ReplacedRows {
 public:
  ReplacedRows(const Kernels& kernels, ThreadPool& pool) : kernels_(kernels), pool_(pool) {}

  // y [T, out] fp32, x [T, in] bf16; records without rows are left out.
  void run(Tensor y, Tensor x, std::span<const AppliedRecord> records);

 private:
  void replace(Tensor y, Tensor x, const AppliedRecord& applied);

  const Kernels& kernels_;
  ThreadPool& pool_;
  std::vector<ShrinkCall> calls_;
  Scratch scratch_;  // [rows of a batch, rows of a record], where the outputs do not follow each other
};

}  // namespace slora::cpu
