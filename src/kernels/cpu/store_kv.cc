#include "kernels/cpu/store_kv.h"

#include "kernels/cpu/kv_words.h"

namespace slora::cpu {
namespace {

constexpr std::int32_t kParallelRows = 32;  // writing fewer takes less time than waking a thread

void store_keys(std::uint32_t* words, const float* k, std::int32_t slot, const KvLayer& layer) {
  for (std::int32_t i = 0; i < layer.head_dim / 2; ++i)
    words[static_cast<std::int64_t>(i) * layer.page_tokens + slot] = word_of(k[2 * i], k[2 * i + 1]);
}

void store_values(std::uint32_t* words, const float* v, std::int32_t slot, const KvLayer& layer) {
  auto* halves = reinterpret_cast<std::uint16_t*>(words);
  if (layer.page_tokens == 1) {
    for (std::int32_t d = 0; d < layer.head_dim; ++d) halves[d] = to_bfloat16(v[d]).bits;
    return;
  }
  halves += static_cast<std::int64_t>(slot / 2) * layer.head_dim * 2 + slot % 2;
  for (std::int32_t d = 0; d < layer.head_dim; ++d) halves[2 * d] = to_bfloat16(v[d]).bits;
}

void store_row(const KvLayer& layer, const float* k, const float* v, PageIndex page, std::int32_t slot) {
  for (std::int32_t head = 0; head < layer.kv_heads; ++head) {
    store_keys(key_words(layer, page, head), k + head * layer.head_dim, slot, layer);
    store_values(value_words(layer, page, head), v + head * layer.head_dim, slot, layer);
  }
}

}  // namespace

void store_kv(ThreadPool& pool, const KvLayer& layer, Tensor k, Tensor v, const SpanBatch& spans) {
  for (const SpanView& span : spans.spans.on_device()) {
    const auto store_one = [&](std::int64_t i, int) {
      const auto position = static_cast<std::int32_t>(span.position_begin + i);
      const PageIndex page = spans.pages_of(span)[position / layer.page_tokens];
      store_row(layer, k.row<float>(span.row_begin + i), v.row<float>(span.row_begin + i), page, position % layer.page_tokens);
    };
    if (span.row_count >= kParallelRows) {
      pool.parallel_for(span.row_count, store_one);
    } else {
      for (std::int64_t i = 0; i < span.row_count; ++i) store_one(i, 0);
    }
  }
}

}  // namespace slora::cpu
