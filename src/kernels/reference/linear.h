#pragma once
#include <span>

#include "ops/record_view.h"
#include "tensor/tensor.h"

namespace slora::reference {

// y[t, :] = W x[t, :] + bias, and for every applied record over row t, on its slice, in the order of `records`:
// + weight * (scale * B z + record bias), or the record's bias instead of the base's; with general records what RecordView says.
// x [T, in] fp32, W [out, in] fp32, bias [out] or empty, z fp32, B [rank, out] fp32 in tiles (transposed), y [T, out] fp32.
void linear(Tensor y, Tensor x, Tensor weight, std::span<const float> bias, Tensor z, std::span<const AppliedRecord> records);

}  // namespace slora::reference
