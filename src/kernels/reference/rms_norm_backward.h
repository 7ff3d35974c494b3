#pragma once
#include <span>

#include "tensor/tensor.h"

namespace slora::reference {

// Of y = x r * gain with r = 1 / sqrt(mean(x^2) + eps) over groups of as many columns as the gain has: dx = r g - x r^3 mean(g x) with
// g = gain * dy. All [T, groups * size] fp32; dx may be dy.
void rms_norm_backward(Tensor dx, Tensor dy, Tensor x, std::span<const float> gain, float eps);

// d_residual += the same of y = rms_norm(residual).
void add_rms_norm_backward(Tensor d_residual, Tensor dy, Tensor residual, std::span<const float> gain, float eps);

}  // namespace slora::reference
