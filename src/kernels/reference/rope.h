#pragma once
#include <cstdint>
#include <span>

#include "ops/rope_table.h"

namespace slora::reference {

// Rotates the first 2 * half elements of every head of x [T, heads * head stride] fp32 in place by its row's position: with a = x[i], b =
// x[half + i] of a head, x[i] = a cos - b sin and x[half + i] = b cos + a sin. table [positions, half] fp32.
void rope(Tensor x, std::span<const std::int32_t> positions, const RopeTable& table);

}  // namespace slora::reference
