#pragma once
#include <cstdint>
#include <span>

#include "tensor/tensor.h"

namespace slora::reference {

// out[i, :] = in[rows[i], :], same element type.
void gather_rows(Tensor out, Tensor in, std::span<const std::int32_t> rows);

}  // namespace slora::reference
