#pragma once
#include <cstdint>

#include "ops/tiled_matrix.h"

namespace slora {

// A matrix [out, in] of which only some elements are stored, row after row: [row_ends[n - 1], row_ends[n]) are those of row n, where the
// first row begins at 0. Elements of the same place add up. Columns and values are one row each, cut into tiles wherever pages end.
struct SparseMatrix {
  const std::int32_t* row_ends = nullptr;  // [out]; null: there is no matrix
  TiledMatrix columns{};                   // [1, row_ends[out - 1]] u16, or i32 where there may be more than 2^16 columns
  TiledMatrix values{};                    // [1, row_ends[out - 1]]

  [[nodiscard]] bool empty() const { return row_ends == nullptr; }
};

inline constexpr std::int32_t kShortColumnsMax = 1 << 16;  // columns that u16 can name

}  // namespace slora
