#include "kernels/reference/added_logits.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace slora::reference {

void added_logits(Tensor out, Tensor x, std::span<const AppliedRecord> records) {
  for (std::int64_t t = 0; t < out.rows; ++t) std::fill_n(out.row<float>(t), out.cols, -std::numeric_limits<float>::infinity());
  for (const AppliedRecord& applied : records) {
    const TiledMatrix& rows = applied.record->added_rows;
    check(rows.rows <= out.cols && rows.cols == x.cols, "expected a column for every added row, of as many numbers as x");
    for (std::int32_t t = applied.row_begin; t < applied.row_begin + applied.row_count; ++t) {
      float* const to = out.row<float>(t);
      std::fill_n(to, rows.rows, 0.0f);
      for (const Tile& tile : rows) {
        const auto* elements = reinterpret_cast<const float*>(tile.data);
        const float* const from = x.row<float>(t) + tile.col_begin;
        for (std::int32_t row = 0; row < tile.row_count; ++row) {
          for (std::int32_t k = 0; k < tile.col_count; ++k) to[tile.row_begin + row] += elements[row * tile.col_count + k] * from[k];
        }
      }
    }
  }
}

}  // namespace slora::reference
