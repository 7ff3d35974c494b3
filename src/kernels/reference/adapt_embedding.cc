#include "kernels/reference/adapt_embedding.h"

#include <algorithm>
#include <cstddef>

#include "tensor/dtype.h"

namespace slora::reference {
namespace {

// Elements [col, col + count) of a row of a tile, as fp32.
void read_elements(float* out, const TiledMatrix& matrix, const Tile& tile, std::int32_t row, std::int32_t col, std::int32_t count) {
  const std::int64_t element = static_cast<std::int64_t>(row - tile.row_begin) * tile.col_count + (col - tile.col_begin);
  convert_to_float(out, tile.data + static_cast<std::size_t>(element) * bytes_of(matrix.dtype), matrix.dtype,
                   static_cast<std::size_t>(count));
}

bool holds_row(const Tile& tile, std::int32_t row) { return row >= tile.row_begin && row < tile.row_begin + tile.row_count; }

// Which of the record's rows is the token's; -1: none.
std::int32_t row_of(const RecordView& record, TokenId id) {
  if (record.row_ids == nullptr) return id < record.rows.rows ? id : -1;
  const std::int32_t* const end = record.row_ids + record.rows.rows;
  const std::int32_t* const at = std::find(record.row_ids, end, id);
  return at != end ? static_cast<std::int32_t>(at - record.row_ids) : -1;
}

void replace_row(float* out, const RecordView& record, TokenId id) {
  if (record.rows.empty()) return;
  const std::int32_t row = row_of(record, id);
  if (row < 0) return;
  for (const Tile& tile : record.rows) {
    if (holds_row(tile, row)) read_elements(out + tile.col_begin, record.rows, tile, row, tile.col_begin, tile.col_count);
  }
}

// A[rank, id]
float element_of_a(const RecordView& record, std::int32_t rank, TokenId id) {
  float value = 0;
  for (const Tile& tile : record.a) {
    if (holds_row(tile, rank) && id >= tile.col_begin && id < tile.col_begin + tile.col_count)
      read_elements(&value, record.a, tile, rank, id, 1);
  }
  return value;
}

// out += factor * B A[:, id]
void add_low_rank(float* out, const RecordView& record, TokenId id, float factor, std::int32_t interleave) {
  constexpr std::int32_t kChunk = 256;
  float values[kChunk];
  for (const Tile& tile : record.b) {
    for (std::int32_t row = tile.row_begin; row < tile.row_begin + tile.row_count; ++row) {
      for (std::int32_t j = 0; j < interleave && row * interleave + j < record.rank; ++j) {
        const float a = factor * element_of_a(record, row * interleave + j, id);
        for (std::int32_t col = tile.col_begin; col < tile.col_begin + tile.col_count; col += kChunk) {
          const std::int32_t count = std::min(kChunk, tile.col_begin + tile.col_count - col);
          read_elements(values, record.b, tile, row, col, count);
          for (std::int32_t i = j; i < count; i += interleave) out[(col + i) / interleave] += a * values[i];
        }
      }
    }
  }
}

}  // namespace

void adapt_embedding(Tensor out, std::span<const TokenId> ids, std::span<const AppliedRecord> records, std::int32_t b_interleave) {
  for (const AppliedRecord& applied : records) {
    for (std::int32_t t = applied.row_begin; t < applied.row_begin + applied.row_count; ++t) {
      const TokenId id = ids[static_cast<std::size_t>(t)];
      float* const row = out.row<float>(t);
      replace_row(row, *applied.record, id);
      add_low_rank(row, *applied.record, id, applied.weight * applied.record->scale, b_interleave);
      const float* const gain = applied.record->gain;
      for (std::int64_t i = 0; gain != nullptr && i < out.cols; ++i) row[i] *= gain[i];
    }
  }
}

}  // namespace slora::reference
