#pragma once
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/thread_pool.h"
#include "tensor/tensor.h"

namespace slora::cpu {

// x = factor * x, and then, with a cap above 0, cap * tanh(x / cap), where -infinity stays. x [T, n] fp32.
void rescale(const Kernels& kernels, ThreadPool& pool, Tensor x, float factor, float cap);

}  // namespace slora::cpu
