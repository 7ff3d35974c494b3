#pragma once
#include <cstdint>

#include "kernels/cuda/args.h"
#include "kernels/cuda/stream.h"
#include "tensor/tensor.h"

namespace slora::cuda {

// out[i, :] = in[rows[i], :]. in and out of one element type and width, fp32 or bf16; rows [out.rows] in device memory. `row_count` is of
// out.
void gather_rows(Stream stream, Tensor out, Tensor in, const std::int32_t* rows, RowCount row_count);

}  // namespace slora::cuda
