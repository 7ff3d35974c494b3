#pragma once
#include <cstdint>
#include <span>

#include "tensor/tensor.h"

namespace slora::reference {

// out[rows[i], :] += shares[i] * y[i, :]. out [T, n] and y [rows.size(), n] fp32.
void add_shares(Tensor out, Tensor y, std::span<const std::int32_t> rows, std::span<const float> shares);

}  // namespace slora::reference
