// Derivatives of attention on every backend that trains, by differences and against the reference.
#include <numeric>

#include "backend/testing/train_fixture.h"

namespace slora::testing {
namespace {

class TrainOpsOfAttention : public TrainTest {};
INSTANTIATE_TEST_SUITE_P(Backends, TrainOpsOfAttention, ::testing::ValuesIn(ops_variants()), label_of);

struct Samples {
  std::int32_t heads, kv_heads, head_dim;
  std::vector<std::int32_t> lengths;
  std::int32_t window;

  [[nodiscard]] std::int32_t rows() const { return std::accumulate(lengths.begin(), lengths.end(), 0); }
  [[nodiscard]] std::int32_t q_cols() const { return heads * head_dim; }
  [[nodiscard]] std::int32_t kv_cols() const { return kv_heads * head_dim; }
  [[nodiscard]] std::int32_t cols() const { return q_cols() + 2 * kv_cols(); }
  [[nodiscard]] AttendParams params() const { return {1.5f / std::sqrt(static_cast<float>(head_dim)), window}; }
  // With pages of 4 tokens, those of a sample after those of the one before.
  [[nodiscard]] std::vector<SpanView> spans() const {
    std::vector<SpanView> out;
    std::int32_t row = 0, page = 0;
    for (const std::int32_t length : lengths) {
      out.push_back({row, length, 0, page, (length + 3) / 4});
      row += length;
      page += (length + 3) / 4;
    }
    return out;
  }
};

void PrintTo(const Samples& samples, std::ostream* out) {
  *out << samples.heads << " heads, " << samples.kv_heads << " of kv, of " << samples.head_dim << ", " << samples.lengths.size()
       << " samples, " << samples.rows() << " rows, window " << samples.window;
}

// out of qkv [rows, q, k, v]
std::vector<double> attention(const Samples& samples, const std::vector<double>& qkv) {
  const std::int32_t dim = samples.head_dim, group = samples.heads / samples.kv_heads;
  std::vector<double> out(static_cast<std::size_t>(samples.rows() * samples.q_cols()));
  const auto at = [&](std::int32_t row, std::int32_t col) { return qkv.data() + row * samples.cols() + col; };
  for (const SpanView& span : samples.spans()) {
    for (std::int32_t i = 0; i < span.row_count; ++i) {
      for (std::int32_t head = 0; head < samples.heads; ++head) {
        const std::int32_t k_col = samples.q_cols() + head / group * dim, v_col = k_col + samples.kv_cols();
        double* to = out.data() + (span.row_begin + i) * samples.q_cols() + head * dim;
        double total = 0;
        for (std::int32_t j = samples.window > 0 ? std::max(0, i - samples.window + 1) : 0; j <= i; ++j) {
          const double* q = at(span.row_begin + i, head * dim);
          const double weight = std::exp(samples.params().scale * std::inner_product(q, q + dim, at(span.row_begin + j, k_col), 0.0));
          total += weight;
          for (std::int32_t d = 0; d < dim; ++d) to[d] += weight * at(span.row_begin + j, v_col)[d];
        }
        for (std::int32_t d = 0; d < dim; ++d) to[d] /= total;
      }
    }
  }
  return out;
}

// What a backend's attend gives of these, [rows, q] product.
Matrix attended(Backend& backend, const Samples& samples, Tensor qkv) {
  std::int32_t tokens = 0;
  for (const SpanView& span : samples.spans()) tokens += 4 * span.page_count;
  MadePool pool(backend, 4, samples.kv_heads, samples.head_dim, tokens);
  const SpanBatch spans = pool.batch(samples.spans());
  Matrix out(backend, backend.product_dtype(), samples.rows(), samples.q_cols());
  backend.ops().store_kv(pool.layer(), qkv.cols_from(samples.q_cols(), samples.kv_cols()),
                         qkv.cols_from(samples.q_cols() + samples.kv_cols(), samples.kv_cols()), spans);
  backend.ops().attend(out, qkv.cols_from(0, samples.q_cols()), pool.layer(), spans, samples.params());
  return out;
}

// dqkv [rows, q, k, v]
Matrix derivative(Backend& backend, const Samples& samples, Tensor qkv, Tensor out, Tensor d_out) {
  Matrix d_qkv(backend, DType::f32, samples.rows(), samples.cols());
  const auto q = [&](Tensor tensor) { return tensor.cols_from(0, samples.q_cols()); };
  const auto k = [&](Tensor tensor) { return tensor.cols_from(samples.q_cols(), samples.kv_cols()); };
  const auto v = [&](Tensor tensor) { return tensor.cols_from(samples.q_cols() + samples.kv_cols(), samples.kv_cols()); };
  const AttendedRows rows{.q = q(qkv), .k = k(qkv), .v = v(qkv), .out = out, .d_out = d_out, .head_dim = samples.head_dim};
  backend.train_ops()->attend_backward(q(d_qkv), k(d_qkv), v(d_qkv), rows, samples.spans(), samples.params());
  return d_qkv;
}

TEST_P(TrainOpsOfAttention, IsTheDerivativeByQueriesKeysAndValues) {
  const std::vector<Samples> shapes = {{2, 2, 8, {5}, 0},        {3, 1, 6, {4, 7}, 0},     {7, 1, 10, {9}, 0},      {14, 2, 4, {6}, 3},
                                       {3, 3, 5, {1, 12, 2}, 5}, {6, 2, 16, {3, 0, 8}, 0}, {1, 1, 1, {2}, 0},       {2, 1, 17, {20}, 1},
                                       {4, 2, 8, {33}, 16},      {1, 1, 24, {40, 1}, 0},   {2, 2, 8, {1, 1, 1}, 2}, {2, 1, 8, {}, 0}};
  for (const Samples& samples : shapes) {
    if (samples.head_dim % 2 != 0 && backend_->kv_dtype() == DType::bf16) continue;  // attend takes pairs
    const std::vector<float> qkv = random(samples.rows() * samples.cols()), d_out = random(samples.rows() * samples.q_cols());
    const Matrix in = activation(samples.rows(), samples.cols(), qkv), out = attended(*backend_, samples, in);
    const bool is_exact = backend_->product_dtype() == DType::f32;
    const auto forward = [&](const std::vector<double>& of) { return attention(samples, of); };
    EXPECT_LT(relative_error(values_of(out), forward(widened(qkv))), is_exact ? kExact : kRounded) << "the same function forward";
    const Matrix got = derivative(*backend_, samples, in, out, fp32(samples.rows(), samples.q_cols(), d_out));
    EXPECT_LT(relative_error(values_of(got), central_differences(widened(qkv), d_out, forward)), is_exact ? kExact : kRounded)
        << ::testing::PrintToString(samples);
  }
}

// `out` is rounded the same for both, so nothing else is.
TEST_P(TrainOpsOfAttention, OfLongSamplesIsThatOfTheReference) {
  const std::unique_ptr<Backend> reference = open({"reference", "reference"});
  const std::vector<Samples> shapes = {{3, 1, 64, {70}, 0},  {9, 3, 64, {130, 31}, 0}, {7, 1, 24, {200}, 63},
                                       {2, 2, 80, {257}, 0}, {1, 1, 128, {150}, 150},  {2, 1, 100, {65, 64, 1}, 33}};
  for (const Samples& samples : shapes) {
    const std::vector<float> qkv = random(samples.rows() * samples.cols()), d_out = random(samples.rows() * samples.q_cols());
    const Matrix in = activation(samples.rows(), samples.cols(), qkv), out = attended(*backend_, samples, in);
    const Matrix got = derivative(*backend_, samples, in, out, fp32(samples.rows(), samples.q_cols(), d_out));
    const Matrix same_in(*reference, DType::f32, samples.rows(), samples.cols(), qkv),
        same_out(*reference, DType::f32, samples.rows(), samples.q_cols(), values_of(out)),
        same_d_out(*reference, DType::f32, samples.rows(), samples.q_cols(), d_out);
    const std::vector<float> want = values_of(derivative(*reference, samples, same_in, same_out, same_d_out));
    EXPECT_LT(relative_error(values_of(got), widened(want)), 1e-5) << ::testing::PrintToString(samples);
  }
}

}  // namespace
}  // namespace slora::testing
