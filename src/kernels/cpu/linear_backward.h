#pragma once
#include "kernels/cpu/float_packer.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/scratch.h"

namespace slora::cpu {

// dx[t, :] = W^T dy[t, :] in fp32, from the weights as products keep them: no second copy. dx [T, in], dy [T, out]. An element of dx is one
// chain of multiply-adds in the order of the outputs. Holds scratch; owned by a backend, called by the thread of its TrainOps.
class LinearBackward {
 public:
  LinearBackward(const Kernels& kernels, ThreadPool& pool) : kernels_(kernels), pool_(pool), packer_(kernels) {}

  void run(Tensor dx, Tensor dy, const PackedWeight& weight);

 private:
  const Kernels& kernels_;
  ThreadPool& pool_;
  FloatPacker packer_;
  Scratch scratch_;  // blocks of strips of each thread
};

}  // namespace slora::cpu
