#pragma once
#include <span>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/thread_pool.h"

namespace slora::cpu {

// dq, dk, dv of attention over samples, as TrainOps says; out in bf16, everything else fp32. A work item is a query head of a sample; what
// the heads of a group give keys and values is added up in the order of the heads. Holds scratch; owned by a backend, called by the thread
// of its TrainOps.
class AttendBackward {
 public:
  AttendBackward(const Kernels& kernels, ThreadPool& pool) : kernels_(kernels), pool_(pool) {}

  void run(Tensor dq, Tensor dk, Tensor dv, const AttendedRows& rows, std::span<const SpanView> spans, const AttendParams& params);

 private:
  void add_heads(Tensor sum, Tensor parts, std::int64_t head_dim);

  const Kernels& kernels_;
  ThreadPool& pool_;
  std::vector<AttendBackwardCall> calls_;
  Scratch scratch_;  // of each thread
  Scratch parts_;    // dk and dv of each query head: [2, T, heads * head_dim]
};

}  // namespace slora::cpu
