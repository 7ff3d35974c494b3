// Ops that follow the sequences: attention, and the tokens that come of it.
#include <algorithm>
#include <utility>

#include "backend/cuda/cuda_ops.h"
#include "backend/cuda/require.h"
#include "base/check.h"
#include "kernels/cuda/attend.h"
#include "kernels/cuda/sample.h"
#include "kernels/cuda/score.h"
#include "kernels/cuda/store_kv.h"

namespace slora::cuda {
namespace {

constexpr std::int32_t kAttendBlocksPerMultiprocessor = 2;  // by shared memory: 78 KiB with heads of 128

// The kernels' spans are those of the engine.
static_assert(sizeof(Span) == sizeof(SpanView) && offsetof(Span, row_count) == offsetof(SpanView, row_count) &&
              offsetof(Span, position_begin) == offsetof(SpanView, position_begin) &&
              offsetof(Span, page_begin) == offsetof(SpanView, page_begin) && offsetof(Span, page_count) == offsetof(SpanView, page_count));
static_assert(sizeof(PageIndex) == sizeof(std::uint32_t));

KvPages pages_of(const KvLayer& layer) {
  return {layer.base, layer.page_bytes, layer.k_offset, layer.v_offset, layer.page_tokens, layer.kv_heads, layer.head_dim};
}

}  // namespace

StepSpans CudaOps::spans_of(const SpanBatch& spans) const {
  return {reinterpret_cast<const Span*>(spans.spans.device), count_of(static_cast<std::int64_t>(spans.spans.size())),
          reinterpret_cast<const std::uint32_t*>(spans.pages.device)};
}

void CudaOps::store_kv(const KvLayer& layer, Tensor k, Tensor v, const SpanBatch& spans) {
  check(k.cols == layer.kv_heads * layer.head_dim && v.cols == k.cols, "expected k and v [T, kv_heads * head_dim]");
  cuda::store_kv(stream(), pages_of(layer), k, v, spans_of(spans));
}

void CudaOps::attend(Tensor out, Tensor q, const KvLayer& layer, const SpanBatch& spans, const AttendParams& params) {
  check(q.cols == out.cols && q.cols % (layer.kv_heads * layer.head_dim) == 0, "expected whole groups of heads");
  const AttendShape shape{.kv_heads = layer.kv_heads,
                          .group = static_cast<std::int32_t>(q.cols / (layer.kv_heads * layer.head_dim)),
                          .head_dim = layer.head_dim,
                          .window = params.window};
  require_done(reserve_attend(layer.head_dim));
  const WorkLists::OfSpans lists = parts_.lists.find(spans, shape);
  AttendParts parts;
  if (lists.has_joins) parts = {reinterpret_cast<float*>(part_sums_.data()), reinterpret_cast<AttendParts::Weight*>(part_weights_.data())};
  const AttendArgs args{.spans = spans_of(spans),
                        .list = lists.attend,
                        .scale = params.scale,
                        .window = params.window,
                        .parts = parts,
                        .tile_rows = tile_rows_of(spans, shape)};
  cuda::attend(stream(), out, q, pages_of(layer), args, kAttendBlocksPerMultiprocessor * multiprocessors_);
}

Status CudaOps::reserve_attend(std::int64_t head_dim) {
  constexpr auto kRows = static_cast<std::size_t>(WorkLists::kPartRowsMax);
  if (Status reserved = part_weights_.reserve(parts_.device, kRows * sizeof(AttendParts::Weight)); !reserved) return reserved;
  return part_sums_.reserve(parts_.device, kRows * static_cast<std::size_t>(head_dim) * sizeof(float));
}

Status CudaOps::reserve_sample(std::int64_t rows, std::int64_t vocabulary) {
  return adjusted_.reserve(parts_.device, static_cast<std::size_t>(rows * vocabulary) * sizeof(float));
}

void CudaOps::sample(std::span<TokenResult> out, Tensor logits, const SampleBatch& batch) {
  check(out.size() == batch.rows.size() && std::cmp_greater_equal(logits.rows, out.size()), "expected a row of logits for every sample");
  const auto count = static_cast<std::int64_t>(out.size());
  require_done(reserve_sample(count, logits.cols));
  const Tensor scratch{adjusted_.data(), DType::f32, count, logits.cols, logits.cols};
  const SampleArgs args{.rows = batch.rows.device,
                        .counts = batch.counts.device,
                        .tokens = batch.tokens.device,
                        .biases = batch.biases.device,
                        .masks = batch.masks.device,
                        .previous = batch.previous,
                        .row_count = count_of(count)};
  cuda::sample(stream(), out.data(), logits.rows_from(0, count), scratch, args);
}

void CudaOps::score(std::span<TokenResult> out, Tensor logits, StepArray<ScoreRow> rows) {
  check(out.size() == rows.size() && std::cmp_greater_equal(logits.rows, rows.size()), "expected a row of logits for every score");
  const auto in_vocabulary = [&](const ScoreRow& row) { return row.token >= 0 && row.token < logits.cols; };
  check(std::ranges::all_of(rows.host, in_vocabulary), "expected tokens of the vocabulary");
  const auto count = static_cast<std::int64_t>(rows.size());
  cuda::score(stream(), out.data(), logits.rows_from(0, count), rows.device, count_of(count));
}

}  // namespace slora::cuda
