#include "kernels/reference/attend_backward.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace slora::reference {
namespace {

float dot_product(const float* a, const float* b, std::int64_t count) {
  float sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

void add_scaled(float* out, float factor, const float* in, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) out[i] += factor * in[i];
}

// The rows of one sample in the columns of one query head and of its kv head.
struct HeadRows {
  Tensor dq, dk, dv, q, k, v, out, d_out;  // [rows, head_dim]
};

HeadRows cut_head(Tensor dq, Tensor dk, Tensor dv, const AttendedRows& rows, const SpanView& span, std::int64_t head) {
  const std::int64_t dim = rows.head_dim, group = rows.q.cols / rows.k.cols;
  const auto of_query = [&](Tensor tensor) { return tensor.rows_from(span.row_begin, span.row_count).cols_from(head * dim, dim); };
  const auto of_key = [&](Tensor tensor) { return tensor.rows_from(span.row_begin, span.row_count).cols_from(head / group * dim, dim); };
  return {of_query(dq), of_key(dk), of_key(dv), of_query(rows.q), of_key(rows.k), of_key(rows.v), of_query(rows.out), of_query(rows.d_out)};
}

// softmax(scale * q k) over keys [begin, begin + weights.size())
void find_weights(std::span<float> weights, const HeadRows& head, std::int64_t i, std::int64_t begin, float scale) {
  float highest = -std::numeric_limits<float>::infinity();
  for (std::size_t j = 0; j < weights.size(); ++j) {
    weights[j] = scale * dot_product(head.q.row<float>(i), head.k.row<float>(begin + static_cast<std::int64_t>(j)), head.q.cols);
    highest = std::max(highest, weights[j]);
  }
  float sum = 0;
  for (float& weight : weights) sum += weight = std::exp(weight - highest);
  for (float& weight : weights) weight /= sum;
}

// Adds what query row i gives.
void add_row(const HeadRows& head, std::int64_t i, const AttendParams& params, std::vector<float>& weights) {
  const std::int64_t dim = head.q.cols, begin = params.window > 0 ? std::max<std::int64_t>(0, i - params.window + 1) : 0;
  weights.resize(static_cast<std::size_t>(i + 1 - begin));
  find_weights(weights, head, i, begin, params.scale);
  const float* d_out = head.d_out.row<float>(i);
  const float shift = dot_product(d_out, head.out.row<float>(i), dim);
  for (std::int64_t j = begin; j <= i; ++j) {
    const float weight = weights[static_cast<std::size_t>(j - begin)];
    const float d_score = weight * (dot_product(d_out, head.v.row<float>(j), dim) - shift);
    add_scaled(head.dq.row<float>(i), params.scale * d_score, head.k.row<float>(j), dim);
    add_scaled(head.dk.row<float>(j), params.scale * d_score, head.q.row<float>(i), dim);
    add_scaled(head.dv.row<float>(j), weight, d_out, dim);
  }
}

}  // namespace

void attend_backward(Tensor dq, Tensor dk, Tensor dv, const AttendedRows& rows, std::span<const SpanView> spans,
                     const AttendParams& params) {
  for (const Tensor& tensor : {dq, dk, dv}) {
    for (std::int64_t t = 0; t < tensor.rows; ++t) std::fill_n(tensor.row<float>(t), tensor.cols, 0.0f);
  }
  std::vector<float> weights;
  for (const SpanView& span : spans) {
    for (std::int64_t h = 0; h < rows.q.cols / rows.head_dim; ++h) {
      const HeadRows head = cut_head(dq, dk, dv, rows, span, h);
      for (std::int64_t i = 0; i < span.row_count; ++i) add_row(head, i, params, weights);
    }
  }
}

}  // namespace slora::reference
