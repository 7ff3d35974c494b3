// What ops do only for some families, and not on every backend, against the same formulas in double precision.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "backend/testing/op_fixture.h"

namespace slora::testing {
namespace {

class OpsFurther : public ::testing::TestWithParam<Variant> {
 protected:
  [[nodiscard]] double tolerance() const { return backend_->product_dtype() == DType::f32 ? 2e-6 : 5e-3; }

  std::unique_ptr<Backend> backend_ = open(GetParam());
  Ops& ops_ = backend_->ops();
  Numbers numbers_{31};
};

INSTANTIATE_TEST_SUITE_P(Backends, OpsFurther, ::testing::ValuesIn(ops_variants()),
                         [](const auto& variant) { return std::string(variant.param.label); });

TEST_P(OpsFurther, RescaleMultipliesAndThenBounds) {
  for (const std::int64_t cols : {1, 15, 16, 50}) {
    for (const float cap : {0.0f, 0.5f, 30.0f}) {
      const std::vector<float> numbers = numbers_.vector(3 * cols);
      const Matrix x(*backend_, DType::f32, 3, cols, numbers);
      ops_.rescale(x, 40.0f, cap);
      std::vector<double> want;
      for (const float number : numbers) want.push_back(cap > 0 ? cap * std::tanh(40.0 * number / cap) : 40.0 * number);
      EXPECT_LT(relative_error(values_of(x), want), 2e-6) << cols << " columns, cap " << cap;
    }
  }
}

// Tokens that no answer may have keep their logits.
TEST_P(OpsFurther, RescaleKeepsMinusInfinity) {
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  const Matrix x(*backend_, DType::f32, 1, 3, {1.0f, kLowest, -1000.0f});
  ops_.rescale(x, 2.0f, 30.0f);
  const std::vector<float> found = values_of(x);
  EXPECT_EQ(found[1], kLowest);
  EXPECT_EQ(found[2], -30.0f);
}

TEST_P(OpsFurther, AddRmsNormWithoutGainsOnlyAdds) {
  const std::vector<float> x = numbers_.vector(4 * 37), residual = numbers_.vector(4 * 37);
  const Matrix sum(*backend_, DType::f32, 4, 37, residual), out(*backend_, backend_->product_dtype(), 4, 37);
  ops_.add_rms_norm(out, sum, Matrix(*backend_, backend_->activation_dtype(), 4, 37, x), Tensor(), 1e-5f, {}, {0, SiteKind::mlp_norm});
  std::vector<double> want;
  for (std::size_t i = 0; i < x.size(); ++i) want.push_back(static_cast<double>(x[i]) + residual[i]);
  EXPECT_LT(relative_error(values_of(sum), want), 2e-6);
  EXPECT_LT(relative_error(values_of(out), want), tolerance());
}

TEST_P(OpsFurther, RopeLeavesTheRestOfHeadsThatRotateInPart) {
  constexpr std::int64_t kHeads = 3, kHeadDim = 16;
  for (const std::int64_t half : {1, 4, 6}) {
    const std::vector<float> cos = numbers_.vector(5 * half), sin = numbers_.vector(5 * half), x = numbers_.vector(2 * kHeads * kHeadDim);
    const std::vector<std::int32_t> positions = {4, 1};
    std::vector<double> want(x.begin(), x.end());
    for (std::size_t t = 0; t < 2; ++t) {
      for (std::int64_t head = 0; head < kHeads; ++head) {
        for (std::int64_t i = 0; i < half; ++i) {
          const auto at = t * kHeads * kHeadDim + static_cast<std::size_t>(head * kHeadDim + i);
          const auto angle = static_cast<std::size_t>(positions[t] * half + i);
          const double a = x[at], b = x[at + static_cast<std::size_t>(half)], c = cos[angle], s = sin[angle];
          want[at] = a * c - b * s;
          want[at + static_cast<std::size_t>(half)] = b * c + a * s;
        }
      }
    }
    const Matrix y(*backend_, backend_->activation_dtype(), 2, kHeads * kHeadDim, x);
    ops_.rope(y, OnDevice(*backend_, positions),
              {Matrix(*backend_, DType::f32, 5, half, cos), Matrix(*backend_, DType::f32, 5, half, sin), kHeadDim});
    EXPECT_LT(relative_error(values_of(y), want), 2e-6) << half;
  }
}

TEST_P(OpsFurther, AttendBoundsScoresBeforeTheirSoftmax) {
  constexpr std::int32_t kDim = 24;
  constexpr float kScale = 2.0f, kCap = 1.5f;
  for (const std::int32_t tokens : {5, 37, 300}) {
    for (const std::int32_t window : {0, 20}) {
      const std::vector<float> q = numbers_.vector(tokens * kDim), k = numbers_.vector(tokens * kDim), v = numbers_.vector(tokens * kDim);
      MadePool pool(*backend_, 4, 1, kDim, tokens);
      const SpanBatch spans = pool.batch(0, tokens, 0);
      const auto matrix = [&](const std::vector<float>& values) {
        return Matrix(*backend_, backend_->activation_dtype(), tokens, kDim, values);
      };
      const Matrix out(*backend_, backend_->product_dtype(), tokens, kDim);
      ops_.store_kv(pool.layer(), matrix(k), matrix(v), spans);
      ops_.attend(out, matrix(q), pool.layer(), spans, {kScale, window, kCap});
      std::vector<double> want(q.size());
      for (std::int32_t t = 0; t < tokens; ++t) {
        double total = 0;
        for (std::int32_t p = window > 0 ? std::max(0, t - window + 1) : 0; p <= t; ++p) {
          const auto row = [&](const std::vector<float>& values, std::int32_t at) { return values.begin() + at * kDim; };
          double dot = 0;
          for (std::int32_t d = 0; d < kDim; ++d) dot += static_cast<double>(row(q, t)[d]) * row(k, p)[d];
          const double weight = std::exp(kCap * std::tanh(kScale * dot / kCap));
          total += weight;
          for (std::int32_t d = 0; d < kDim; ++d) want[static_cast<std::size_t>(t * kDim + d)] += weight * row(v, p)[d];
        }
        for (std::int32_t d = 0; d < kDim; ++d) want[static_cast<std::size_t>(t * kDim + d)] /= total;
      }
      EXPECT_LT(relative_error(values_of(out), want), tolerance()) << tokens << " tokens, window " << window;
    }
  }
}

TEST_P(OpsFurther, LinearGatedHasTheGeluOfTanh) {
  constexpr std::int64_t kIn = 33;
  for (const std::int32_t n : {1, 37, 160}) {
    std::vector<float> w = numbers_.vector(2 * n * kIn);
    for (std::size_t i = 0; i < static_cast<std::size_t>(kIn); ++i) w[i] *= 300;  // huge gates, of both signs
    const LinearWeight weight = pack(*backend_, 2 * n, kIn, w, DType::bf16);
    for (const std::int32_t rows : {1, 40}) {
      const Matrix x(*backend_, backend_->product_dtype(), rows, kIn, numbers_.vector(rows * kIn)), z(*backend_, DType::f32, rows, 1);
      const Matrix y(*backend_, backend_->activation_dtype(), rows, 2 * n), out(*backend_, backend_->product_dtype(), rows, n);
      ops_.linear(y, x, weight, z, {}, {0, SiteKind::gate_up});
      ops_.linear_gated(out, x, weight, z, {}, {0, SiteKind::gate_up}, Activation::gelu_tanh);
      std::vector<double> want;
      const std::vector<float> whole = values_of(y);
      for (std::int32_t t = 0; t < rows; ++t) {
        const float* row = whole.data() + 2 * n * t;
        for (std::int32_t i = 0; i < n; ++i) {
          const double gate = row[i];
          want.push_back(0.5 * gate * (1 + std::tanh(std::sqrt(2 / M_PI) * (gate + 0.044715 * gate * gate * gate))) * row[n + i]);
        }
      }
      EXPECT_LT(relative_error(values_of(out), want), tolerance()) << rows << " rows, " << n << " columns";
    }
  }
}

}  // namespace
}  // namespace slora::testing
