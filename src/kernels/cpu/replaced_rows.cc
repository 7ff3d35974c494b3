#include "kernels/cpu/replaced_rows.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace slora::cpu {

void ReplacedRows::run(Tensor y, Tensor x, std::span<const AppliedRecord> records) {
  for (const AppliedRecord& applied : records) {
    if (!applied.record->rows.empty())
      replace(y.rows_from(applied.row_begin, applied.row_count), x.rows_from(applied.row_begin, applied.row_count), applied);
  }
}

void ReplacedRows::run_added(Tensor out, Tensor x, std::span<const AppliedRecord> records) {
  for (std::int64_t t = 0; t < out.rows; ++t) std::fill_n(out.row<float>(t), out.cols, -std::numeric_limits<float>::infinity());
  for (const AppliedRecord& applied : records) {
    const TiledMatrix& rows = applied.record->added_rows;
    check(rows.rows <= out.cols, "expected a column for every added row");
    multiply(out.rows_from(applied.row_begin, applied.row_count), x.rows_from(applied.row_begin, applied.row_count), rows);
  }
}

// The products are what shrink computes with the rows for A.
void ReplacedRows::multiply(Tensor out, Tensor x, const TiledMatrix& rows) {
  constexpr std::int32_t kItemTokens = 64, kItemRows = 64;
  check(rows.dtype == DType::bf16 && rows.cols == x.cols, "expected rows [count, in] in bf16");
  const auto token_count = static_cast<std::int32_t>(x.rows);
  RecordView as_shrink;
  as_shrink.rank = rows.rows;
  as_shrink.a = rows;
  const AppliedRecord shrink{0, token_count, 0, 1.0f, &as_shrink};
  calls_.clear();
  for (std::int32_t row = 0; row < rows.rows; row += kItemRows) {
    for (std::int32_t token = 0; token < token_count; token += kItemTokens) {
      calls_.push_back(
          {out, x, &shrink, token, std::min(kItemTokens, token_count - token), row, std::min(kItemRows, rows.rows - row), nullptr});
    }
  }
  pool_.parallel_for(static_cast<std::int64_t>(calls_.size()),
                     [&](std::int64_t index, int) { kernels_.shrink(calls_[static_cast<std::size_t>(index)]); });
}

// They go to y at once where the outputs follow each other.
void ReplacedRows::replace(Tensor y, Tensor x, const AppliedRecord& applied) {
  const RecordView& record = *applied.record;
  const std::int32_t count = record.rows.rows;
  const bool is_listed = record.row_ids != nullptr;
  check(is_listed || count == record.out, "expected a row for every output");
  Tensor out = y.cols_from(record.slice_begin, record.out);
  if (is_listed)
    out = {reinterpret_cast<std::byte*>(scratch_.take<float>(static_cast<std::size_t>(y.rows * count))), DType::f32, y.rows, count, count};
  multiply(out, x, record.rows);
  if (!is_listed) return;
  for (std::int64_t t = 0; t < y.rows; ++t) {
    float* const to = y.row<float>(t) + record.slice_begin;
    for (std::int32_t i = 0; i < count; ++i) {
      const std::int32_t id = record.row_ids[i];
      if (id >= 0 && id < record.out) to[id] = out.row<float>(t)[i];
    }
  }
}

}  // namespace slora::cpu
