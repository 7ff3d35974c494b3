// Ops at the widths of real models, on random places of their results against the formula in double precision. On a device that computes
// slowly only the smallest of them.
#include <gtest/gtest.h>

#include <utility>

#include "backend/testing/op_fixture.h"

namespace slora::testing {
namespace {

constexpr Site kSite{0, SiteKind::qkv};
constexpr double kRounded = 5e-3;  // one rounding to bf16 on the way

struct Widths {
  const char* name;
  std::int32_t hidden, heads, kv_heads, head_dim, intermediate;
};
constexpr Widths kHalfB = {"0.5B", 896, 14, 2, 64, 4864};
constexpr Widths kEightB = {"8B", 4096, 32, 8, 128, 14336};

// Numbers from -1 to 1 that bf16 holds exactly, many at a time. [rows, cols]
class WideNumbers {
 public:
  WideNumbers(std::int64_t rows, std::int64_t cols, std::uint64_t seed) : rows_(rows), cols_(cols) {
    std::uint64_t state = seed * 0x9e3779b97f4a7c15u + 1000003 * static_cast<std::uint64_t>(GTEST_FLAG_GET(random_seed)) + 1;
    values_.resize(static_cast<std::size_t>(rows * cols));
    for (Bfloat16& value : values_) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      value = to_bfloat16(static_cast<float>(static_cast<std::int64_t>(state >> 40) - (1 << 23)) / (1 << 23));
    }
  }
  [[nodiscard]] double at(std::int64_t row, std::int64_t col) const {
    return to_float(values_[static_cast<std::size_t>(row * cols_ + col)]);
  }
  [[nodiscard]] Tensor tensor() { return {reinterpret_cast<std::byte*>(values_.data()), DType::bf16, rows_, cols_, cols_}; }
  [[nodiscard]] std::vector<float> floats() const {
    std::vector<float> out(values_.size());
    std::transform(values_.begin(), values_.end(), out.begin(), [](Bfloat16 value) { return to_float(value); });
    return out;
  }
  [[nodiscard]] std::int64_t rows() const { return rows_; }
  [[nodiscard]] std::int64_t cols() const { return cols_; }

 private:
  std::int64_t rows_, cols_;
  std::vector<Bfloat16> values_;
};

double dot(const WideNumbers& a, std::int64_t a_row, const WideNumbers& b, std::int64_t b_row) {
  double sum = 0;
  for (std::int64_t k = 0; k < a.cols(); ++k) sum += a.at(a_row, k) * b.at(b_row, k);
  return sum;
}

// The first, the last and some between of `count`.
std::vector<std::int64_t> places(std::int64_t count, std::int64_t wanted) {
  std::vector<std::int64_t> out;
  for (std::int64_t i = 0; i < std::min(count, wanted); ++i)
    out.push_back(i * (count - 1) / std::max<std::int64_t>(1, std::min(count, wanted) - 1));
  return out;
}

class OpsWidths : public ::testing::TestWithParam<Variant> {
 protected:
  std::unique_ptr<Backend> backend_ = open(GetParam());
  Ops& ops_ = backend_->ops();
  const bool is_slow_ = GetParam().stride > 1;

  [[nodiscard]] std::vector<Widths> widths() const { return is_slow_ ? std::vector{kHalfB} : std::vector{kHalfB, kEightB}; }
  [[nodiscard]] Matrix uploaded_rows(WideNumbers& numbers, DType dtype) {
    return Matrix(*backend_, dtype, numbers.rows(), numbers.cols(), numbers.floats());
  }
  [[nodiscard]] LinearWeight packed(WideNumbers& numbers) {
    LinearWeight weight = backend_->make_linear(numbers.rows(), numbers.cols());
    backend_->pack_rows(weight, 0, numbers.tensor());
    return weight;
  }
};

INSTANTIATE_TEST_SUITE_P(Backends, OpsWidths, ::testing::ValuesIn(ops_variants()),
                         [](const auto& variant) { return std::string(variant.param.label); });

// The products of a layer. A third of the rows has no adapter, one has an adapter of rank 16, one of rank 64.
TEST_P(OpsWidths, ProductsWithAdapters) {
  for (const Widths& model : widths()) {
    const std::int32_t qkv = (model.heads + 2 * model.kv_heads) * model.head_dim, attended = model.heads * model.head_dim;
    const std::vector<std::pair<std::int32_t, std::int32_t>> products = {
        {qkv, model.hidden}, {model.hidden, attended}, {2 * model.intermediate, model.hidden}, {model.hidden, model.intermediate}};
    for (const auto& [out, in] : products) {
      WideNumbers w(out, in, 1);
      const LinearWeight weight = packed(w);
      struct Adapter {
        WideNumbers a, b;  // [rank, in], [rank, out]
      };
      std::vector<Adapter> adapters;
      std::deque<MadeAdapter> made;
      constexpr float kScale = 0.125f;
      for (const std::int32_t rank : {16, 64}) {
        const Adapter& adapter = adapters.emplace_back(Adapter{{rank, in, 2}, {rank, out, 3}});
        MadeRecord record{0, out, in, rank, kScale, adapter.a.floats(), adapter.b.floats(), {}, BiasMode::add};
        made.emplace_back(*backend_, kSite, std::vector{std::move(record)}, Cuts{.tile_rows = 7});
      }
      for (const std::int32_t rows : is_slow_ ? std::vector{3} : std::vector{1, 3, 16, 33, 64, 200, 700}) {
        WideNumbers x(rows, in, 4);
        const std::int32_t third = (rows + 2) / 3;
        std::vector<AdapterSegment> segments = {{0, third, 0, 1.0f, &made[0].view()}};
        if (rows >= 2 * third) segments.push_back({third, third, 0, 1.0f, &made[1].view()});
        const MadeSegments batch(*backend_, segments, 64);
        const Matrix z(*backend_, DType::f32, rows, 64), y(*backend_, backend_->activation_dtype(), rows, out);
        const Matrix in_rows = uploaded_rows(x, backend_->product_dtype());
        ops_.shrink(z, in_rows, batch, kSite);
        ops_.linear(y, in_rows, weight, z, batch, kSite);
        std::vector<float> found;
        std::vector<double> expected;
        for (const std::int64_t t : places(rows, 7)) {
          const std::vector<float> row = y.tensor().rows_from(t, 1).values();
          const Adapter* const adapter = t < third ? &adapters[0] : t < 2 * third && segments.size() > 1 ? &adapters[1] : nullptr;
          std::vector<double> ranks;
          for (std::int64_t j = 0; adapter != nullptr && j < adapter->a.rows(); ++j) ranks.push_back(dot(adapter->a, j, x, t));
          for (const std::int64_t i : places(out, 97)) {
            double sum = dot(w, i, x, t);
            for (std::size_t j = 0; j < ranks.size(); ++j) sum += kScale * ranks[j] * adapter->b.at(static_cast<std::int64_t>(j), i);
            expected.push_back(sum);
            found.push_back(row[static_cast<std::size_t>(i)]);
          }
        }
        EXPECT_LT(relative_error(found, expected), kRounded) << model.name << ": " << rows << " x " << out << " x " << in;
      }
    }
  }
}

TEST_P(OpsWidths, GatedProducts) {
  for (const Widths& model : widths()) {
    const std::int32_t n = model.intermediate;
    WideNumbers w(2 * n, model.hidden, 5);
    const LinearWeight weight = packed(w);
    for (const std::int32_t rows : is_slow_ ? std::vector{2} : std::vector{1, 20, 300}) {
      WideNumbers x(rows, model.hidden, 6);
      const Matrix out(*backend_, backend_->product_dtype(), rows, n);
      ops_.linear_gated(out, uploaded_rows(x, backend_->product_dtype()), weight, {}, {}, kSite, Activation::silu);
      std::vector<float> found;
      std::vector<double> expected;
      for (const std::int64_t t : places(rows, 5)) {
        const std::vector<float> row = out.tensor().rows_from(t, 1).values();
        for (const std::int64_t i : places(n, 97)) {
          const double gate = dot(w, i, x, t), up = dot(w, n + i, x, t);
          expected.push_back(gate / (1 + std::exp(-gate)) * up);
          found.push_back(row[static_cast<std::size_t>(i)]);
        }
      }
      EXPECT_LT(relative_error(found, expected), 2 * kRounded) << model.name << ": " << rows << " rows";
    }
  }
}

TEST_P(OpsWidths, NormsOfTheHiddenState) {
  for (const Widths& model : widths()) {
    for (const std::int32_t rows : is_slow_ ? std::vector{2} : std::vector{1, 300}) {
      WideNumbers x(rows, model.hidden, 7), before(rows, model.hidden, 8), gain(1, model.hidden, 9);
      const Matrix residual(*backend_, DType::f32, rows, model.hidden, before.floats());
      const Matrix out(*backend_, backend_->product_dtype(), rows, model.hidden);
      ops_.add_rms_norm(out, residual, uploaded_rows(x, backend_->activation_dtype()), backend_->make_vector(gain.floats()).view(), 1e-5f,
                        {}, kOutputNormSite);
      std::vector<double> expected;
      for (std::int64_t t = 0; t < rows; ++t) {
        double squares = 0;
        for (std::int64_t i = 0; i < model.hidden; ++i) squares += (x.at(t, i) + before.at(t, i)) * (x.at(t, i) + before.at(t, i));
        const double inverse = 1 / std::sqrt(squares / model.hidden + 1e-5);
        for (std::int64_t i = 0; i < model.hidden; ++i) expected.push_back((x.at(t, i) + before.at(t, i)) * inverse * gain.at(0, i));
      }
      EXPECT_LT(relative_error(values_of(out), expected), kRounded) << model.name << ": " << rows << " rows";
    }
  }
}

// The last `rows` of so many tokens, whose keys and values lie in pages of 16.
TEST_P(OpsWidths, AttentionToLongContexts) {
  using Case = std::pair<std::int32_t, std::int32_t>;
  const std::vector<Case> cases =
      is_slow_ ? std::vector<Case>{{700, 1}, {90, 17}} : std::vector<Case>{{1, 1}, {700, 1}, {9000, 1}, {3000, 3}, {2000, 500}};
  for (const Widths& model : widths()) {
    const std::int32_t dim = model.head_dim, kv_cols = model.kv_heads * dim, group = model.heads / model.kv_heads;
    for (const auto& [tokens, rows] : cases) {
      WideNumbers k(tokens, kv_cols, 10), v(tokens, kv_cols, 11), q(rows, model.heads * dim, 12);
      MadePool pool(*backend_, 16, model.kv_heads, dim, tokens);
      ops_.store_kv(pool.layer(), uploaded_rows(k, backend_->activation_dtype()), uploaded_rows(v, backend_->activation_dtype()),
                    pool.batch(0, tokens, 0));
      const Matrix out(*backend_, backend_->product_dtype(), rows, model.heads * dim);
      const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(dim)));
      ops_.attend(out, uploaded_rows(q, backend_->activation_dtype()), pool.layer(), pool.batch(0, rows, tokens - rows), {scale, 0});
      std::vector<float> found;
      std::vector<double> expected;
      for (const std::int64_t t : places(rows, 4)) {
        const std::vector<float> row = out.tensor().rows_from(t, 1).values();
        for (const std::int64_t head : places(model.heads, 5)) {
          const std::int64_t kv_begin = head / group * dim;
          std::vector<double> sums(static_cast<std::size_t>(dim), 0.0);
          double total = 0;
          for (std::int64_t p = 0; p <= tokens - rows + t; ++p) {
            double score = 0;
            for (std::int64_t d = 0; d < dim; ++d) score += q.at(t, head * dim + d) * k.at(p, kv_begin + d);
            const double weight = std::exp(score * static_cast<double>(scale));
            total += weight;
            for (std::int64_t d = 0; d < dim; ++d) sums[static_cast<std::size_t>(d)] += weight * v.at(p, kv_begin + d);
          }
          for (const double sum : sums) expected.push_back(sum / total);
          for (std::int64_t d = 0; d < dim; ++d) found.push_back(row[static_cast<std::size_t>(head * dim + d)]);
        }
      }
      // The weights of the keys are rounded to bf16, too, and the values cancel one another.
      EXPECT_LT(relative_error(found, expected), 2 * kRounded) << model.name << ": " << rows << " of " << tokens << " tokens";
    }
  }
}

TEST_P(OpsWidths, ScoresOfALargeVocabulary) {
  const std::int64_t vocab = is_slow_ ? 20000 : 151936;
  WideNumbers logits(3, vocab, 13);
  const Matrix on_device(*backend_, DType::f32, 3, vocab, logits.floats());
  for (const std::int64_t token : places(vocab, 9)) {
    const std::vector<TokenResult> found = score_all(*backend_, on_device, {{.token = static_cast<TokenId>(token), .logprob_count = 1}});
    double sum = 0, largest = -1;
    for (std::int64_t i = 0; i < vocab; ++i) {
      sum += std::exp(logits.at(0, i));
      largest = std::max(largest, logits.at(0, i));
    }
    EXPECT_NEAR(found[0].logprob, logits.at(0, token) - std::log(sum), 1e-4);
    EXPECT_EQ(found[0].top_count, 1);
    EXPECT_NEAR(found[0].top[0].logprob, largest - std::log(sum), 1e-4);
  }
}

}  // namespace
}  // namespace slora::testing
