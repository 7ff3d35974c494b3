#pragma once
#include <cstdint>
#include <span>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/thread_pool.h"
#include "ops/rope_table.h"

namespace slora::cpu {

// The transposed rotation of every head of dx [T, heads * head stride] fp32, in place.
void rope_backward(const Kernels& kernels, ThreadPool& pool, Tensor dx, std::span<const std::int32_t> positions, const RopeTable& table);

}  // namespace slora::cpu
