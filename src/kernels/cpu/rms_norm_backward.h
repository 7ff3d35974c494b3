#pragma once
#include <span>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/thread_pool.h"

namespace slora::cpu {

// dx of y = rms_norm(x) with this gain, in groups of as many columns; dx may be dy. All [T, groups * size] fp32.
void rms_norm_backward(const Kernels& kernels, ThreadPool& pool, Tensor dx, Tensor dy, Tensor x, std::span<const float> gain, float eps);

// d_residual += the same of y = rms_norm(residual).
void add_rms_norm_backward(const Kernels& kernels, ThreadPool& pool, Tensor d_residual, Tensor dy, Tensor residual,
                           std::span<const float> gain, float eps);

}  // namespace slora::cpu
