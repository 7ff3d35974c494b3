#pragma once
#include <cstdint>

#include "kernels/cuda/device.h"
#include "kernels/cuda/lora_args.h"

namespace slora::cuda {

// Column 0 of a row of a matrix with so many columns, as if the piece that holds `column` of it held the whole row.
__device__ inline const Bfloat16* matrix_row(const Bfloat16* whole, const MatrixPiece* piece, std::int32_t cols, std::int32_t row,
                                             std::int32_t column) {
  if (whole != nullptr) return whole + static_cast<std::int64_t>(row) * cols;
  while (row >= piece->row_begin + piece->row_count) ++piece;
  while (column >= piece->col_begin + piece->col_count) ++piece;
  return piece->data + static_cast<std::int64_t>(row - piece->row_begin) * piece->col_count - piece->col_begin;
}

}  // namespace slora::cuda
