#pragma once
#include <span>

#include "kernels/cpu/kernels.h"
#include "kernels/reference/rms_norm.h"

namespace slora::cpu {

// out = in / sqrt(mean(in^2) + eps) * gain over groups of as many columns as a gain has. in [T, groups * size] fp32, out fp32 or bf16; out
// may be in.
void rms_norm(const Kernels& kernels, ThreadPool& pool, Tensor out, Tensor in, const reference::RowGains& gains, float eps);

// residual += x, then out = rms_norm(residual), or without gains the residual. residual and x [T, hidden] fp32.
void add_rms_norm(const Kernels& kernels, ThreadPool& pool, Tensor out, Tensor residual, Tensor x, const reference::RowGains& gains,
                  float eps);

}  // namespace slora::cpu
