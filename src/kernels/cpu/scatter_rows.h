#pragma once
#include <cstdint>
#include <span>

#include "kernels/cpu/thread_pool.h"
#include "tensor/tensor.h"

namespace slora::cpu {

// out[rows[i], :] = in[i, :], and zeros in the other rows. out [T, cols] fp32, in [rows.size(), cols] fp32.
void scatter_rows(ThreadPool& pool, Tensor out, Tensor in, std::span<const std::int32_t> rows);

}  // namespace slora::cpu
