#include "kernels/reference/store_kv.h"

#include <algorithm>

namespace slora::reference {

void store_kv(const KvLayer& layer, Tensor k, Tensor v, const SpanBatch& spans) {
  for (const SpanView& span : spans.spans.on_device()) {
    for (std::int32_t i = 0; i < span.row_count; ++i) {
      const std::int32_t position = span.position_begin + i;
      const PageIndex page = spans.pages_of(span)[position / layer.page_tokens];
      const std::int32_t slot = position % layer.page_tokens;
      for (std::int32_t head = 0; head < layer.kv_heads; ++head) {
        std::copy_n(k.row<float>(span.row_begin + i) + head * layer.head_dim, layer.head_dim,
                    layer.keys<float>(page, head) + slot * layer.head_dim);
        std::copy_n(v.row<float>(span.row_begin + i) + head * layer.head_dim, layer.head_dim,
                    layer.values<float>(page, head) + slot * layer.head_dim);
      }
    }
  }
}

}  // namespace slora::reference
