#pragma once
#include <span>

#include "tensor/tensor.h"

namespace slora::reference {

// out = in / sqrt(mean(in^2) + eps) * weight over groups of weight.size() columns. in and out [T, groups * size] fp32; out may be in.
void rms_norm(Tensor out, Tensor in, std::span<const float> weight, float eps);

// residual += x, then out = rms_norm(residual). All [T, hidden] fp32.
void add_rms_norm(Tensor out, Tensor residual, Tensor x, std::span<const float> weight, float eps);

}  // namespace slora::reference
