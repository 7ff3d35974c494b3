// Derivatives of the ops that work on rows alone, on every backend that trains.
#include <gmock/gmock.h>

#include <bit>
#include <limits>
#include <numbers>

#include "backend/testing/train_fixture.h"

namespace slora::testing {
namespace {

class TrainOpsOfRows : public TrainTest {};
INSTANTIATE_TEST_SUITE_P(Backends, TrainOpsOfRows, ::testing::ValuesIn(ops_variants()), label_of);

constexpr std::int64_t kRows = 3;

double activate(double x, Activation activation) {
  if (activation == Activation::silu) return x / (1 + std::exp(-x));
  return x / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}

TEST_P(TrainOpsOfRows, GatedHasTheBitsOfLinearGated) {
  for (const std::int64_t n : {1, 16, 37, 160}) {
    const LinearWeight weight = pack(*backend_, 2 * n, 33, random(2 * n * 33), DType::bf16);
    const Matrix x = product(kRows, 33, random(kRows * 33)), gate_up(*backend_, backend_->activation_dtype(), kRows, 2 * n);
    const Matrix want(*backend_, backend_->product_dtype(), kRows, n), got(*backend_, backend_->product_dtype(), kRows, n);
    ops_.linear(gate_up, x, weight, {}, {}, {0, SiteKind::gate_up});
    for (const Activation kind : {Activation::silu, Activation::gelu_tanh}) {
      ops_.linear_gated(want, x, weight, {}, {}, {0, SiteKind::gate_up}, kind);
      train_->gated(got, gate_up, kind);
      EXPECT_TRUE(same_bits(got, want)) << n << " columns";
    }
  }
}

TEST_P(TrainOpsOfRows, GatedBackwardIsTheDerivativeOfBothHalves) {
  for (const std::int64_t n : {1, 7, 16, 33, 64}) {
    std::vector<float> gate_up = random(kRows * 2 * n);
    for (std::size_t i = 0; i < gate_up.size(); i += 5) gate_up[i] *= 6;
    const std::vector<float> d_out = random(kRows * n);
    for (const Activation kind : {Activation::silu, Activation::gelu_tanh}) {
      const auto forward = [&](const std::vector<double>& x) {
        std::vector<double> out;
        for (std::size_t row = 0; row < x.size(); row += static_cast<std::size_t>(2 * n)) {
          for (std::size_t i = row; i < row + static_cast<std::size_t>(n); ++i)
            out.push_back(activate(x[i], kind) * x[i + static_cast<std::size_t>(n)]);
        }
        return out;
      };
      const Matrix got = fp32(kRows, 2 * n);
      train_->gated_backward(got, fp32(kRows, n, d_out), activation(kRows, 2 * n, gate_up), kind);
      EXPECT_LT(relative_error(values_of(got), central_differences(widened(gate_up), d_out, forward)), kExact) << n << " columns";
    }
  }
}

TEST_P(TrainOpsOfRows, GatedBackwardOfHugeGatesIsFinite) {
  const std::vector<float> gate_up = {-1e4f, -200, -90, 90, 200, 1e4f, 1, 1, 1, 1, 1, 1};
  for (const Activation kind : {Activation::silu, Activation::gelu_tanh}) {
    const Matrix got = fp32(1, 12);
    train_->gated_backward(got, fp32(1, 6, std::vector<float>(6, 1.0f)), activation(1, 12, gate_up), kind);
    EXPECT_THAT(values_of(got),
                ::testing::Pointwise(::testing::FloatNear(1e-20f), std::vector<float>{0, 0, 0, 1, 1, 1, 0, 0, 0, 90, 200, 1e4f}));
  }
}

TEST_P(TrainOpsOfRows, RmsNormBackwardIsTheDerivativeInEveryGroupOfColumns) {
  constexpr float kEps = 0.05f;  // so large that it shows
  for (const std::int64_t size : {1, 7, 16, 64, 80, 99}) {
    const std::int64_t cols = 3 * size;
    const std::vector<float> x = random(kRows * cols), gain = random(size), dy = random(kRows * cols), before = random(kRows * cols);
    const auto forward = [&](const std::vector<double>& in) {
      std::vector<double> out = in;
      for (std::size_t begin = 0; begin < in.size(); begin += gain.size()) {
        double squares = 0;
        for (std::size_t i = 0; i < gain.size(); ++i) squares += in[begin + i] * in[begin + i];
        for (std::size_t i = 0; i < gain.size(); ++i) out[begin + i] *= gain[i] / std::sqrt(squares / static_cast<double>(size) + kEps);
      }
      return out;
    };
    const DeviceVector weight = backend_->make_vector(gain);
    const Matrix in = activation(kRows, cols, x), d_out = fp32(kRows, cols, dy);
    const Matrix normalised(*backend_, backend_->activation_dtype(), kRows, cols), apart = fp32(kRows, cols),
                                                                                   added = fp32(kRows, cols, before);
    ops_.rms_norm(normalised, in, weight.view(), kEps, {}, kOutputNormSite);
    EXPECT_LT(relative_error(values_of(normalised), forward(widened(x))), kExact) << "the same function forward";

    std::vector<double> want = central_differences(widened(x), dy, forward);
    train_->rms_norm_backward(apart, d_out, in, weight.view(), kEps);
    EXPECT_LT(relative_error(values_of(apart), want), kExact) << size << " columns";
    train_->add_rms_norm_backward(added, d_out, in, weight.view(), kEps);
    train_->rms_norm_backward(d_out, d_out, in, weight.view(), kEps);
    EXPECT_TRUE(same_bits(d_out, apart)) << "in place";
    for (std::size_t i = 0; i < want.size(); ++i) want[i] += before[i];
    EXPECT_LT(relative_error(values_of(added), want), kExact) << size << " columns, added";
  }
}

TEST_P(TrainOpsOfRows, RopeBackwardIsTheTransposedRotation) {
  struct Head {
    std::int64_t half, dim;  // dim 0: all of it rotates
  };
  for (const auto& [half, dim] : {Head{4, 0}, Head{8, 0}, Head{12, 30}, Head{40, 0}, Head{32, 64}}) {
    const std::vector<float> cos = random(10 * half), sin = random(10 * half);  // of any length, as with an attention factor
    const Matrix cos_table = fp32(10, half, cos), sin_table = fp32(10, half, sin);
    const RopeTable table{cos_table, sin_table, dim};
    const std::int64_t stride = table.head_stride(), cols = 3 * stride;
    const std::vector<std::int32_t> positions = {9, 0, 4};
    const std::vector<float> x = random(kRows * cols), dy = random(kRows * cols);
    const auto forward = [&](const std::vector<double>& in) {
      std::vector<double> out = in;
      for (std::int64_t head = 0; head < 3 * kRows; ++head) {
        for (std::int64_t i = 0; i < half; ++i) {
          const auto a = static_cast<std::size_t>(head * stride + i), b = a + static_cast<std::size_t>(half);
          const auto angle = static_cast<std::size_t>(positions[static_cast<std::size_t>(head / 3)] * half + i);
          out[a] = in[a] * cos[angle] - in[b] * sin[angle];
          out[b] = in[b] * cos[angle] + in[a] * sin[angle];
        }
      }
      return out;
    };
    const OnDevice rows(*backend_, positions);
    const Matrix rotated = activation(kRows, cols, x), got = fp32(kRows, cols, dy);
    ops_.rope(rotated, rows, table);
    EXPECT_LT(relative_error(values_of(rotated), forward(widened(x))), kExact) << "the same function forward";
    train_->rope_backward(got, rows, table);
    EXPECT_LT(relative_error(values_of(got), central_differences(widened(x), dy, forward)), kExact) << half << " of " << dim;
  }
}

TEST_P(TrainOpsOfRows, CrossEntropyGivesTheLossesOfScoreAndTheirWeightedDerivatives) {
  for (const std::int64_t vocab : {1, 5, 33, 64, 200}) {
    std::vector<float> logits = random(kRows * vocab);
    for (float& logit : logits) logit *= 8;
    const std::vector<LabelRow> labels = {{static_cast<TokenId>(vocab / 2), 0.25f}, {static_cast<TokenId>(vocab - 1), 1}, {0, 0.125f}};
    const auto forward = [&](const std::vector<double>& in) {
      std::vector<double> losses;
      for (std::size_t row = 0; row < labels.size(); ++row) {
        const auto own = std::span(in).subspan(row * static_cast<std::size_t>(vocab), static_cast<std::size_t>(vocab));
        double sum = 0;
        for (const double logit : own) sum += std::exp(logit);
        losses.push_back(std::log(sum) - own[static_cast<std::size_t>(labels[row].token)]);
      }
      return losses;
    };
    const Matrix matrix = fp32(kRows, vocab, logits), scored = fp32(kRows, vocab, logits);
    std::vector<LabelLoss> losses(labels.size());
    train_->cross_entropy(losses, matrix, labels);
    const std::vector<TokenResult> scores =
        score_all(*backend_, scored, {{.token = labels[0].token}, {.token = labels[1].token}, {.token = 0}});
    for (std::size_t row = 0; row < labels.size(); ++row) {
      EXPECT_EQ(std::bit_cast<std::uint32_t>(losses[row].loss), std::bit_cast<std::uint32_t>(-scores[row].logprob));
      EXPECT_EQ(losses[row].is_most_likely, scores[row].rank == 1);
    }
    const std::vector<double> want = central_differences(widened(logits), {labels[0].weight, labels[1].weight, labels[2].weight}, forward);
    if (vocab > 1) {
      EXPECT_LT(relative_error(values_of(matrix), want), kExact) << vocab << " tokens";
    } else {
      EXPECT_THAT(values_of(matrix), ::testing::Each(0.0f)) << "the only token is certain";
    }
  }
}

TEST_P(TrainOpsOfRows, TheFirstOfEqualTokensIsTheMostLikely) {
  const Matrix logits = fp32(2, 4, {1, 3, 3, 2, 1, 3, 3, 2});
  std::vector<LabelLoss> losses(2);
  train_->cross_entropy(losses, logits, std::vector<LabelRow>{{1, 1}, {2, 1}});
  EXPECT_TRUE(losses[0].is_most_likely);
  EXPECT_FALSE(losses[1].is_most_likely);
}

TEST_P(TrainOpsOfRows, ALogitThatIsNotANumberShowsInTheLossOfItsRow) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();
  for (const float broken : {kNan, kInfinity}) {
    for (const std::size_t place : {0u, 1u, 20u, 39u}) {
      std::vector<float> numbers = random(80);
      numbers[40 + place] = broken;
      const Matrix logits = fp32(2, 40, numbers);
      std::vector<LabelLoss> losses(2);
      train_->cross_entropy(losses, logits, std::vector<LabelRow>{{1, 1}, {1, 1}});
      EXPECT_TRUE(std::isfinite(losses[0].loss));
      EXPECT_TRUE(std::isnan(losses[1].loss)) << broken << " at " << place;
    }
  }
}

TEST_P(TrainOpsOfRows, ScatterRowsPutsZerosBetweenThem) {
  const Matrix out = fp32(5, 3), in = fp32(2, 3, {1, 2, 3, 4, 5, 6}), none = fp32(0, 3);
  train_->scatter_rows(out, in, OnDevice(*backend_, std::vector<std::int32_t>{3, 1}));
  EXPECT_THAT(values_of(out), ::testing::ElementsAre(0, 0, 0, 4, 5, 6, 0, 0, 0, 1, 2, 3, 0, 0, 0));
  train_->scatter_rows(out, none, OnDevice(*backend_, std::vector<std::int32_t>{}));
  EXPECT_THAT(values_of(out), ::testing::Each(0.0f));
}

}  // namespace
}  // namespace slora::testing
