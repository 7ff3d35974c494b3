#include "kernels/cpu/attend.h"

#include <algorithm>
#include <bit>

namespace slora::cpu {
namespace {

constexpr std::int32_t kTurnRows = 32;  // (query, head) rows of a turn: the lanes of two vectors

std::size_t whole_lines(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

void Attend::run(Tensor out, Tensor q, const KvLayer& layer, std::span<const SpanView> spans, const AttendParams& params) {
  check(out.dtype == DType::bf16 && q.dtype == DType::f32, "q in fp32, out in bf16");
  check(layer.head_dim % 2 == 0 && std::has_single_bit(static_cast<std::uint32_t>(layer.page_tokens)),
        "an even head_dim, a power of two of tokens in a page");
  check(params.scale > 0, "a positive scale: the highest score is found before it is scaled");
  const auto group = static_cast<std::int32_t>(q.cols / layer.head_dim / layer.kv_heads);
  const std::int32_t turn_queries = std::max(1, kTurnRows / group);
  calls_.clear();
  for (const SpanView& span : spans) {
    for (std::int32_t begin = 0; begin < span.row_count; begin += turn_queries) {
      for (std::int32_t head = 0; head < layer.kv_heads; ++head) {
        calls_.push_back({out, q, &layer, &span, params, group, head, begin, std::min(turn_queries, span.row_count - begin)});
      }
    }
  }
  const std::size_t room = whole_lines(kernels_.attend_scratch_bytes(layer, group, turn_queries));
  auto* scratch = scratch_.take<std::byte>(room * static_cast<std::size_t>(pool_.thread_count()));
  const auto count = static_cast<std::int64_t>(calls_.size());
  // The last queries of a span see the most keys: long turns first.
  pool_.parallel_for(count, [&](std::int64_t index, int worker) {
    kernels_.attend(calls_[static_cast<std::size_t>(count - 1 - index)], scratch + room * static_cast<std::size_t>(worker));
  });
}

}  // namespace slora::cpu
