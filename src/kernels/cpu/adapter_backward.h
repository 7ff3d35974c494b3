#pragma once
#include <span>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/thread_pool.h"

namespace slora::cpu {

// For every entry of `modules`, over its rows: d_z = scale * B^T dy[slice], B's gradient += scale * dy[slice]^T z, A's += d_z^T x, and,
// unless dx has no rows, dx += A^T d_z. x [T, in] bf16, everything else fp32. Threads own rows of dx and d_z, then columns of A's gradients
// and rows of B's, to which they add the entries in order. Holds scratch; owned by a backend, called by the thread of its TrainOps.
class AdapterBackward {
 public:
  AdapterBackward(const Kernels& kernels, ThreadPool& pool) : kernels_(kernels), pool_(pool) {}

  void run(Tensor dx, Tensor d_z, Tensor dy, Tensor x, Tensor z, std::span<const TrainedRows> modules);

 private:
  // A matrix whose rows are copied to whole vectors, unless they are such, and its place in memory_.
  struct Copy {
    Tensor from;
    std::int64_t offset = -1;  // -1: none is needed
  };

  void plan(Tensor dx, Tensor d_z, Tensor dy, Tensor x, Tensor z, std::span<const TrainedRows> modules);
  [[nodiscard]] Tensor wide_copy(std::size_t index) const;

  const Kernels& kernels_;
  ThreadPool& pool_;
  std::vector<AdapterBackwardCall> calls_;
  std::vector<Copy> copies_;  // of A, B and z of each call
  Scratch memory_;            // of copies
  float* floats_ = nullptr;   // in memory_
  Scratch scratch_;           // of each thread
};

}  // namespace slora::cpu
