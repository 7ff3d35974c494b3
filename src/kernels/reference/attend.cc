#include "kernels/reference/attend.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace slora::reference {
namespace {

struct Visible {
  std::int32_t begin, end;  // positions
};

Visible visible_keys(std::int32_t position, std::int32_t window) {
  return {window > 0 ? std::max(0, position - window + 1) : 0, position + 1};
}

// Attention of one query of one head. `scores` is scratch.
void attend_row(float* out, const float* q, std::int32_t kv_head, const KvLayer& layer, const PageIndex* pages, Visible keys,
                const AttendParams& params, std::vector<float>& scores) {
  const std::int32_t dim = layer.head_dim;
  const auto page_of = [&](std::int32_t position) { return pages[position / layer.page_tokens]; };
  scores.assign(static_cast<std::size_t>(keys.end - keys.begin), 0.0f);
  float highest = -std::numeric_limits<float>::infinity();
  for (std::int32_t p = keys.begin; p < keys.end; ++p) {
    const float* k = layer.keys<float>(page_of(p), kv_head) + (p % layer.page_tokens) * dim;
    float dot = 0;
    for (std::int32_t d = 0; d < dim; ++d) dot += q[d] * k[d];
    float score = dot * params.scale;
    if (params.soft_cap > 0) score = params.soft_cap * std::tanh(score / params.soft_cap);
    scores[static_cast<std::size_t>(p - keys.begin)] = score;
    highest = std::max(highest, score);
  }
  float sum = 0;
  for (float& score : scores) {
    score = std::exp(score - highest);
    sum += score;
  }
  std::fill_n(out, dim, 0.0f);
  for (std::int32_t p = keys.begin; p < keys.end; ++p) {
    const float* v = layer.values<float>(page_of(p), kv_head) + (p % layer.page_tokens) * dim;
    const float weight = scores[static_cast<std::size_t>(p - keys.begin)] / sum;
    for (std::int32_t d = 0; d < dim; ++d) out[d] += weight * v[d];
  }
}

}  // namespace

void attend(Tensor out, Tensor q, const KvLayer& layer, const SpanBatch& spans, const AttendParams& params) {
  const auto heads = static_cast<std::int32_t>(q.cols / layer.head_dim);
  const std::int32_t group = heads / layer.kv_heads;
  std::vector<float> scores;
  for (const SpanView& span : spans.spans.on_device()) {
    for (std::int32_t i = 0; i < span.row_count; ++i) {
      const Visible keys = visible_keys(span.position_begin + i, params.window);
      const std::int32_t row = span.row_begin + i;
      for (std::int32_t head = 0; head < heads; ++head) {
        const std::int32_t offset = head * layer.head_dim;
        attend_row(out.row<float>(row) + offset, q.row<float>(row) + offset, head / group, layer, spans.pages_of(span), keys, params,
                   scores);
      }
    }
  }
}

}  // namespace slora::reference
