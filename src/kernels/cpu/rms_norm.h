#pragma once
#include <span>

#include "kernels/cpu/kernels.h"

namespace slora::cpu {

// out = in / sqrt(mean(in^2) + eps) * weight over groups of weight.size() columns. in [T, groups * size] fp32, out fp32 or bf16; out
// may be in.
void rms_norm(const Kernels& kernels, ThreadPool& pool, Tensor out, Tensor in, std::span<const float> weight, float eps);

// residual += x, then out = rms_norm(residual). residual and x [T, hidden] fp32.
void add_rms_norm(const Kernels& kernels, ThreadPool& pool, Tensor out, Tensor residual, Tensor x, std::span<const float> weight,
                  float eps);

}  // namespace slora::cpu
