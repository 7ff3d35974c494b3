#pragma once
#include <span>

#include "ops/training.h"

namespace slora::reference {

// For every entry of `modules`, over its rows, with y[slice] = ... + scale * B z, z = A x: dz = scale * B^T dy[slice],
// B's gradient += scale * dy[slice]^T z, A's += dz^T x, and, unless dx has no rows, dx += A^T dz. dx and x [T, in], dy [T, out], z and d_z
// [T, z columns], all fp32.
void adapter_backward(Tensor dx, Tensor d_z, Tensor dy, Tensor x, Tensor z, std::span<const TrainedRows> modules);

}  // namespace slora::reference
