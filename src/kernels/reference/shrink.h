#pragma once
#include <span>

#include "ops/record_view.h"
#include "tensor/tensor.h"

namespace slora::reference {

// z[t, z_begin + j] = rank_gain[j] * A[j, :] x[t, :] for every applied record over row t. x [T, in] fp32, A [rank, in] fp32 in tiles, z
// [T, >= z columns] fp32; the rest of z stays as it is.
void shrink(Tensor z, Tensor x, std::span<const AppliedRecord> records);

}  // namespace slora::reference
