#pragma once
#include <span>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/thread_pool.h"

namespace slora::cpu {

// Computes outputs of a product whose weights adapters have in place of the base's: y[t, slice_begin + row_ids[i]] = rows[i, :] x[t, :],
// and those that only adapters have. Holds scratch; called by its backend's engine thread.
class ReplacedRows {
 public:
  ReplacedRows(const Kernels& kernels, ThreadPool& pool) : kernels_(kernels), pool_(pool) {}

  // y [T, out] fp32, x [T, in] bf16; records without rows are left out.
  void run(Tensor y, Tensor x, std::span<const AppliedRecord> records);
  // out[t, i] = added_rows[i, :] x[t, :] of the record over row t, and -infinity where there is none. out [T, count] fp32, x [T, in] bf16.
  void run_added(Tensor out, Tensor x, std::span<const AppliedRecord> records);

 private:
  void multiply(Tensor out, Tensor x, const TiledMatrix& rows);
  void replace(Tensor y, Tensor x, const AppliedRecord& applied);

  const Kernels& kernels_;
  ThreadPool& pool_;
  std::vector<ShrinkCall> calls_;
  Scratch scratch_;  // [rows of a batch, rows of a record], where the outputs do not follow each other
};

}  // namespace slora::cpu
