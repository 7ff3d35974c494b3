#pragma once
#include <span>

#include "kernels/cpu/scratch.h"
#include "kernels/cpu/thread_pool.h"
#include "ops/record_view.h"
#include "tensor/tensor.h"

namespace slora::cpu {

// Adds the products with the sparse matrices of adapters: y[t, slice] += weight * S x[t, :]. The elements of a row are added up in their
// order, one sum for each token, whatever the batch, the tiles and the threads are. Holds scratch; owned by a Linear, called by its
// backend's engine thread.
class SparseProducts {
 public:
  explicit SparseProducts(ThreadPool& pool) : pool_(pool) {}

  // y [T, out] fp32, x [T, in] bf16; records without such a matrix are left out.
  void run(Tensor y, Tensor x, std::span<const AppliedRecord> records);

 private:
  template <int Tokens>
  void add(Tensor y, Tensor x, const AppliedRecord& applied);

  ThreadPool& pool_;
  Scratch inputs_;  // x [in, tokens] fp32
};

}  // namespace slora::cpu
