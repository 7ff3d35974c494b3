#include "kernels/cpu/attend_backward.h"

#include <algorithm>

namespace slora::cpu {

void AttendBackward::run(Tensor dq, Tensor dk, Tensor dv, const AttendedRows& rows, std::span<const SpanView> spans,
                         const AttendParams& params) {
  check(rows.out.dtype == DType::bf16 && rows.q.dtype == DType::f32, "expected q, k and v in fp32 and out in bf16");
  const std::int64_t dim = rows.head_dim, group = rows.q.cols / rows.k.cols, count = rows.q.rows * rows.q.cols;
  auto* parts = group == 1 ? nullptr : parts_.take<std::byte>(static_cast<std::size_t>(2 * count) * sizeof(float));
  const Tensor dk_parts = group == 1 ? dk : Tensor{parts, DType::f32, rows.q.rows, rows.q.cols, rows.q.cols};
  const Tensor dv_parts =
      group == 1 ? dv : Tensor{parts + count * std::int64_t{sizeof(float)}, DType::f32, rows.q.rows, rows.q.cols, rows.q.cols};
  calls_.clear();
  for (const SpanView& span : spans) {
    if (span.row_count == 0) continue;
    for (std::int64_t head = 0; head < rows.q.cols / dim; ++head) {
      const auto cut = [&](Tensor tensor, std::int64_t index) {
        return tensor.rows_from(span.row_begin, span.row_count).cols_from(index * dim, dim);
      };
      calls_.push_back({cut(dq, head), cut(dk_parts, head), cut(dv_parts, head), cut(rows.q, head), cut(rows.k, head / group),
                        cut(rows.v, head / group), cut(rows.out, head), cut(rows.d_out, head), params});
    }
  }
  // Long samples first, so that threads finish together.
  std::ranges::sort(calls_, [](const AttendBackwardCall& a, const AttendBackwardCall& b) { return a.q.rows > b.q.rows; });
  const std::size_t floats = calls_.empty() ? 0 : kernels_.train.attend_floats(calls_.front().q.rows, dim);
  auto* scratch = scratch_.take<float>(floats * static_cast<std::size_t>(pool_.thread_count()));
  pool_.parallel_for(std::ssize(calls_), [&](std::int64_t index, int worker) {
    kernels_.train.attend_backward(calls_[static_cast<std::size_t>(index)], scratch + floats * static_cast<std::size_t>(worker));
  });
  if (group == 1) return;
  add_heads(dk, dk_parts, dim);
  add_heads(dv, dv_parts, dim);
}

// sum [T, kv_heads * head_dim], parts [T, heads * head_dim]
void AttendBackward::add_heads(Tensor sum, Tensor parts, std::int64_t head_dim) {
  const std::int64_t group = parts.cols / sum.cols;
  pool_.parallel_rows(sum.rows, parts.cols, [&](std::int64_t t) {
    for (std::int64_t col = 0; col < sum.cols; col += head_dim) {
      const float* part = parts.row<float>(t) + col * group;
      std::copy_n(part, head_dim, sum.row<float>(t) + col);
      for (std::int64_t head = 1; head < group; ++head) kernels_.add(sum.row<float>(t) + col, part + head * head_dim, head_dim);
    }
  });
}

}  // namespace slora::cpu
