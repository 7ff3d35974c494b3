#include "kernels/reference/shrink.h"

namespace slora::reference {
namespace {

// The tiles of one row of A come in column order and continue its sum, so that additions have the order of one long row.
void shrink_row(float* z, const float* x, const TiledMatrix& a) {
  for (std::int32_t j = 0; j < a.rows; ++j) z[j] = 0;
  for (const Tile& tile : a) {
    const auto* elements = reinterpret_cast<const float*>(tile.data);
    for (std::int32_t row = 0; row < tile.row_count; ++row) {
      float sum = z[tile.row_begin + row];
      for (std::int32_t col = 0; col < tile.col_count; ++col) sum += elements[row * tile.col_count + col] * x[tile.col_begin + col];
      z[tile.row_begin + row] = sum;
    }
  }
}

}  // namespace

void shrink(Tensor z, Tensor x, std::span<const AppliedRecord> records) {
  for (const AppliedRecord& applied : records) {
    check(applied.record->a.dtype == DType::f32, "expected A in fp32");
    for (std::int32_t t = applied.row_begin; t < applied.row_begin + applied.row_count; ++t) {
      float* const row = z.row<float>(t) + applied.z_begin;
      shrink_row(row, x.row<float>(t), applied.record->a);
      if (const float* const gain = applied.record->rank_gain; gain != nullptr) {
        for (std::int32_t j = 0; j < applied.record->rank; ++j) row[j] *= gain[j];
      }
    }
  }
}

}  // namespace slora::reference
