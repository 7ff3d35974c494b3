#pragma once
#include <cstdint>
#include <span>

#include "ops/rope_table.h"

namespace slora::reference {

// Of rope: with (a, b) -> (a cos - b sin, b cos + a sin), (da, db) = (da cos + db sin, db cos - da sin), which is the inverse only where
// cos and sin have no factor in them. dx [T, heads * head stride] fp32, in place.
void rope_backward(Tensor dx, std::span<const std::int32_t> positions, const RopeTable& table);

}  // namespace slora::reference
