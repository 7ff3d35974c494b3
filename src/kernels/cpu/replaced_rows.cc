#include "kernels/cpu/replaced_rows.h"

#include <algorithm>

#include "base/check.h"

namespace slora::cpu {

void ReplacedRows::run(Tensor y, Tensor x, std::span<const AppliedRecord> records) {
  for (const AppliedRecord& applied : records) {
    if (!applied.record->rows.empty())
      replace(y.rows_from(applied.row_begin, applied.row_count), x.rows_from(applied.row_begin, applied.row_count), applied);
  }
}

// The products are what shrink computes with the rows for A, so they go to y at once where the outputs follow each other.
void ReplacedRows::replace(Tensor y, Tensor x, const AppliedRecord& applied) {
  constexpr std::int32_t kItemTokens = 64, kItemRows = 64;
  const RecordView& record = *applied.record;
  const std::int32_t count = record.rows.rows;
  check(record.rows.dtype == DType::bf16 && record.rows.cols == x.cols, "expected rows [count, in] in bf16");
  const bool is_listed = record.row_ids != nullptr;
  check(is_listed || count == record.out, "expected a row for every output");
  Tensor out = y.cols_from(record.slice_begin, record.out);
  if (is_listed)
    out = {reinterpret_cast<std::byte*>(scratch_.take<float>(static_cast<std::size_t>(y.rows * count))), DType::f32, y.rows, count, count};
  RecordView as_shrink;
  as_shrink.rank = count;
  as_shrink.a = record.rows;
  const AppliedRecord shrink{0, applied.row_count, 0, 1.0f, &as_shrink};
  calls_.clear();
  for (std::int32_t row = 0; row < count; row += kItemRows) {
    for (std::int32_t token = 0; token < applied.row_count; token += kItemTokens) {
      calls_.push_back(
          {out, x, &shrink, token, std::min(kItemTokens, applied.row_count - token), row, std::min(kItemRows, count - row), nullptr});
    }
  }
  pool_.parallel_for(static_cast<std::int64_t>(calls_.size()),
                     [&](std::int64_t index, int) { kernels_.shrink(calls_[static_cast<std::size_t>(index)]); });
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
