#include "kernels/cpu/sparse_products.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/check.h"

namespace slora::cpu {
namespace {

constexpr int kTokensMax = 8;  // that are multiplied with each element at once

// Goes through the elements of a matrix in their order, from any of them on. Columns and values are cut where pages end, each elsewhere.
class ElementReader {
 public:
  ElementReader(const SparseMatrix& matrix, std::int32_t first) : matrix_(matrix), next_(first) {
    column_tile_ = tile_of(matrix.columns, first);
    value_tile_ = tile_of(matrix.values, first);
  }

  // Calls use(column, value) with the elements from the next one up to `end`.
  template <class Use>
  void read_until(std::int32_t end, Use use) {
    matrix_.columns.dtype == DType::u16 ? read<std::uint16_t>(end, use) : read<std::int32_t>(end, use);
  }

 private:
  static const Tile* tile_of(const TiledMatrix& row, std::int32_t element) {
    return std::ranges::find_if(row, [&](const Tile& tile) { return element < tile.col_begin + tile.col_count; });
  }

  template <class Column, class Use>
  void read(std::int32_t end, Use use) {
    while (next_ < end) {
      if (next_ == column_tile_->col_begin + column_tile_->col_count) ++column_tile_;
      if (next_ == value_tile_->col_begin + value_tile_->col_count) ++value_tile_;
      const std::int32_t piece_end =
          std::min({end, column_tile_->col_begin + column_tile_->col_count, value_tile_->col_begin + value_tile_->col_count});
      const auto* const columns = reinterpret_cast<const Column*>(column_tile_->data) + (next_ - column_tile_->col_begin);
      const auto* const values = reinterpret_cast<const Bfloat16*>(value_tile_->data) + (next_ - value_tile_->col_begin);
      for (std::int32_t i = 0; i < piece_end - next_; ++i) use(columns[i], to_float(values[i]));
      next_ = piece_end;
    }
  }

  const SparseMatrix& matrix_;
  std::int32_t next_;
  const Tile* column_tile_;
  const Tile* value_tile_;
};

}  // namespace

void SparseProducts::run(Tensor y, Tensor x, std::span<const AppliedRecord> records) {
  for (const AppliedRecord& applied : records) {
    const SparseMatrix& matrix = applied.record->sparse;
    if (matrix.empty() || matrix.values.empty()) continue;  // a shard may have no element
    check(matrix.values.dtype == DType::bf16 && applied.record->in == x.cols, "expected values in bf16 for inputs of this width");
    for (std::int32_t row = 0; row < applied.row_count; row += kTokensMax) {
      const std::int64_t first = applied.row_begin + row, count = std::min(kTokensMax, applied.row_count - row);
      count == 1 ? add<1>(y.rows_from(first, 1), x.rows_from(first, 1), applied)
                 : add<kTokensMax>(y.rows_from(first, count), x.rows_from(first, count), applied);
    }
  }
}

// Columns of x that tokens lack are zero.
template <int Tokens>
void SparseProducts::add(Tensor y, Tensor x, const AppliedRecord& applied) {
  constexpr std::int64_t kItemProducts = 16384;  // of a work item: a few microseconds
  const RecordView& record = *applied.record;
  const SparseMatrix& matrix = record.sparse;
  auto* const inputs = inputs_.take<float>(static_cast<std::size_t>(x.cols * Tokens));
  pool_.parallel_rows(x.cols, Tokens, [&](std::int64_t k) {
    for (std::int64_t t = 0; t < Tokens; ++t) inputs[k * Tokens + t] = t < x.rows ? to_float(x.row<const Bfloat16>(t)[k]) : 0.0f;
  });
  const std::int64_t row_products = std::max<std::int64_t>(1, std::int64_t{matrix.values.cols} * Tokens / record.out);
  const std::int64_t run_max = std::max<std::int64_t>(1, kItemProducts / row_products);
  pool_.parallel_ranges(record.out, run_max, [&](std::int64_t begin, std::int64_t end, int) {
    ElementReader elements(matrix, begin == 0 ? 0 : matrix.row_ends[begin - 1]);
    for (std::int64_t n = begin; n < end; ++n) {
      std::array<float, Tokens> sums{};
      elements.read_until(matrix.row_ends[n], [&](std::int32_t column, float value) {
        const float* const from = inputs + std::int64_t{column} * Tokens;
        for (std::size_t t = 0; t < Tokens; ++t) sums[t] += value * from[t];
      });
      for (std::int64_t t = 0; t < y.rows; ++t)
        y.row<float>(t)[record.slice_begin + n] += applied.weight * sums[static_cast<std::size_t>(t)];
    }
  });
}

}  // namespace slora::cpu
