#include "kernels/cpu/attend.h"

#include <algorithm>
#include <bit>

#include "kernels/cpu/kv_block.h"

namespace slora::cpu {
namespace {

constexpr std::int32_t kAttendItemRows = 112;  // pairs of query and head that share one pass over the keys: eight tiles
constexpr std::int64_t kItemsPerThread = 4;    // enough that threads finish at about the same time

std::size_t whole_lines(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

std::int64_t cost_of(const AttendCall& call) { return (call.key_end - call.key_begin) * call.query_count; }

}  // namespace

void Attend::run(Tensor out, Tensor q, const KvLayer& layer, const SpanBatch& spans, const AttendParams& params) {
  check(out.dtype == DType::bf16 && q.dtype == DType::f32, "expected q in fp32 and out in bf16");
  check(layer.head_dim % 2 == 0 && std::has_single_bit(static_cast<std::uint32_t>(layer.page_tokens)),
        "expected an even head_dim and a power of two of tokens in a page");
  check(params.scale > 0, "expected a positive scale, since the highest score is found before scaling");
  plan(out, q, layer, spans, params);
  split_long_calls(layer);
  std::int64_t rows = 0;
  for (const AttendCall& call : calls_) rows = std::max<std::int64_t>(rows, call.query_count * call.group);
  const std::size_t bytes = whole_lines(kernels_.attend_scratch_bytes(layer, rows));
  auto* scratch = scratch_.take<std::byte>(bytes * static_cast<std::size_t>(pool_.thread_count()));
  const auto count = static_cast<std::int64_t>(calls_.size());
  // The last queries of a span see the most keys: start with the long calls.
  pool_.parallel_for(count, [&](std::int64_t index, int worker) {
    const auto at = static_cast<std::size_t>(count - 1 - index);
    kernels_.attend(calls_[at], at > 0 ? &calls_[at - 1] : nullptr, scratch + bytes * static_cast<std::size_t>(worker));
  });
  pool_.parallel_for(static_cast<std::int64_t>(merges_.size()), [&](std::int64_t index, int) {
    const Merge& merge = merges_[static_cast<std::size_t>(index)];
    kernels_.attend_merge(std::span<const AttendCall>(calls_).subspan(merge.begin, merge.end - merge.begin));
  });
}

// One call for each kv head and some queries of each span: as many queries as possible share one pass over the keys, while enough calls are
// left for all threads.
void Attend::plan(Tensor out, Tensor q, const KvLayer& layer, const SpanBatch& spans, const AttendParams& params) {
  const auto group = static_cast<std::int32_t>(q.cols / layer.head_dim / layer.kv_heads);
  const std::int64_t enough = kItemsPerThread * pool_.thread_count();
  const auto item_count = [&](std::int32_t queries) {
    std::int64_t count = 0;
    for (const SpanView& span : spans.spans.on_device()) count += (span.row_count + queries - 1) / queries * layer.kv_heads;
    return count;
  };
  std::int32_t queries = std::max(1, kAttendItemRows / group);
  while (queries * group > kernels_.tile_rows && queries > 1 && item_count(queries) < enough) queries /= 2;
  whole_.clear();
  for (const SpanView& span : spans.spans.on_device()) {
    for (std::int32_t begin = 0; begin < span.row_count; begin += queries) {
      const std::int32_t count = std::min(queries, span.row_count - begin);
      const std::int64_t position = span.position_begin + begin;
      const std::int64_t first = params.window > 0 ? std::max<std::int64_t>(0, position - params.window + 1) : 0;
      for (std::int32_t head = 0; head < layer.kv_heads; ++head) {
        whole_.push_back(
            {out, q, &layer, &span, spans.pages_of(span), params, group, head, begin, count, first, position + count, nullptr});
      }
    }
  }
}

void Attend::split_long_calls(const KvLayer& layer) {
  std::int64_t cost = 0;
  for (const AttendCall& call : whole_) cost += cost_of(call);
  const std::int64_t cost_max = pool_.thread_count() == 1 ? cost : cost / (kItemsPerThread * pool_.thread_count());
  calls_.clear();
  merges_.clear();
  std::size_t bytes = 0;
  for (const AttendCall& call : whole_) {
    if (cost_of(call) <= cost_max || call.key_end - call.key_begin <= kSplitKeys) {
      calls_.push_back(call);
      continue;
    }
    Merge& merge =
        merges_.emplace_back(Merge{calls_.size(), 0, whole_lines(kernels_.attend_part_bytes(layer, call.query_count * call.group))});
    for (std::int64_t begin = call.key_begin; begin < call.key_end; begin = calls_.back().key_end) {
      AttendCall& part = calls_.emplace_back(call);
      part.key_begin = begin;
      part.key_end = std::min(call.key_end, (begin / kSplitKeys + 1) * kSplitKeys);
      bytes += merge.part_bytes;
    }
    merge.end = calls_.size();
  }
  auto* part = parts_.take<std::byte>(bytes);
  for (const Merge& merge : merges_) {
    for (std::size_t i = merge.begin; i < merge.end; ++i, part += merge.part_bytes) calls_[i].part = part;
  }
}

}  // namespace slora::cpu
