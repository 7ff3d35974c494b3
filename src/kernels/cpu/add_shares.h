#pragma once
#include <cstdint>
#include <span>

#include "kernels/cpu/thread_pool.h"
#include "tensor/tensor.h"

namespace slora::cpu {

// out[rows[i], :] += shares[i] * y[i, :]. out [T, n] and y [rows.size(), n] fp32. Requires: no row twice.
void add_shares(ThreadPool& pool, Tensor out, Tensor y, std::span<const std::int32_t> rows, std::span<const float> shares);

}  // namespace slora::cpu
