#pragma once
#include <span>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/thread_pool.h"

namespace slora::cpu {

// losses[r] = -log softmax(logits row r)[token] with the bits of Score, and then logits row r = weight * (softmax(logits row r) - 1 at the
// token). logits [labels.size(), vocab] fp32. Holds scratch; owned by a backend, called by the thread of its TrainOps.
class CrossEntropy {
 public:
  CrossEntropy(const Kernels& kernels, ThreadPool& pool) : kernels_(kernels), pool_(pool) {}

  void run(std::span<LabelLoss> losses, Tensor logits, std::span<const LabelRow> labels);

 private:
  [[nodiscard]] LabelLoss run_row(std::span<float> logits, const LabelRow& label, double* block_sums) const;

  const Kernels& kernels_;
  ThreadPool& pool_;
  Scratch scratch_;  // of each thread, sums of blocks of a row
};

}  // namespace slora::cpu
