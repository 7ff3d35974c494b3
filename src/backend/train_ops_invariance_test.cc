// A derivative depends on its own sample only, bit for bit: neither on other samples of the micro-batch nor on the number of threads.
#include "backend/testing/train_fixture.h"

namespace slora::testing {
namespace {

class TrainOpsInvariance : public TrainTest {};
INSTANTIATE_TEST_SUITE_P(Backends, TrainOpsInvariance, ::testing::ValuesIn(ops_variants()), label_of);

// Rows of three samples, and every derivative of them in which something is summed.
class Samples {
 public:
  static constexpr std::int64_t kIn = 70, kOut = 85, kRank = 5, kHeads = 6, kKvHeads = 2, kDim = 16, kVocab = 90;
  static constexpr std::int64_t kQ = kHeads * kDim, kKv = kKvHeads * kDim;
  static constexpr std::int64_t kLengths[] = {67, 1, 140};
  static constexpr std::int64_t kRows = 208;

  explicit Samples(Numbers& numbers) {
    for (auto& [values, cols] : inputs_) values = numbers.vector(kRows * cols);
    weight_ = numbers.vector(kOut * kIn);
    a_ = numbers.vector(kRank * kIn);
    b_ = numbers.vector(kOut * kRank);
  }

  struct Derivatives {
    std::vector<float> dx, d_z, d_q, d_k, d_v, d_logits, a, b;
  };

  // Of samples [begin, end), computed in one call of each op. Gradients of A and B are added to `into`.
  [[nodiscard]] Derivatives run(Backend& backend, std::size_t begin, std::size_t end, const Derivatives& into) const {
    std::vector<SpanView> spans;
    std::int64_t first = 0, rows = 0;
    for (std::size_t i = 0; i < begin; ++i) first += kLengths[i];
    for (std::size_t i = begin; i < end; ++i) {
      spans.push_back({static_cast<std::int32_t>(rows), static_cast<std::int32_t>(kLengths[i]), 0, 0, 0});
      rows += kLengths[i];
    }
    const auto matrix = [&](std::size_t input, DType dtype) {
      const auto& [values, cols] = inputs_[input];
      const auto from = values.begin() + first * cols;
      return Matrix(backend, dtype, rows, cols, {from, from + rows * cols});
    };
    const auto zeros = [&](std::int64_t cols) {
      return Matrix(backend, DType::f32, rows, cols, std::vector<float>(static_cast<std::size_t>(rows * cols)));
    };
    TrainOps& train = *backend.train_ops();
    const Matrix dy = matrix(0, DType::f32), x = matrix(1, backend.product_dtype()), z = matrix(2, DType::f32);
    const Matrix dx = zeros(kIn), d_z = zeros(kRank);
    train.linear_backward(dx, dy, pack(backend, kOut, kIn, weight_, DType::bf16));

    const Matrix a(backend, DType::f32, kRank, kIn, a_), b(backend, DType::f32, kOut, kRank, b_);
    const Matrix a_gradient(backend, DType::f32, kRank, kIn, into.a), b_gradient(backend, DType::f32, kOut, kRank, into.b);
    const TrainedModule module{.scale = 0.75f, .a = a, .b = b, .a_gradient = a_gradient, .b_gradient = b_gradient};
    std::vector<TrainedRows> entries;
    for (const SpanView& span : spans) entries.push_back({span.row_begin, span.row_count, &module});
    train.adapter_backward(dx, d_z, dy, x, z, entries);

    const Matrix q = matrix(3, backend.activation_dtype()), k = matrix(4, backend.activation_dtype()),
                 v = matrix(5, backend.activation_dtype()), out = matrix(6, backend.product_dtype()), d_out = matrix(7, DType::f32);
    const Matrix dq = zeros(kQ), dk = zeros(kKv), dv = zeros(kKv);
    train.attend_backward(dq, dk, dv, {q, k, v, out, d_out, kDim}, spans, {0.25f, 100});

    const Matrix logits = matrix(8, DType::f32);
    std::vector<LabelLoss> losses(static_cast<std::size_t>(rows));
    train.cross_entropy(losses, logits, std::vector<LabelRow>(static_cast<std::size_t>(rows), {3, 0.25f}));
    return {values_of(dx), values_of(d_z),    values_of(dq),         values_of(dk),
            values_of(dv), values_of(logits), values_of(a_gradient), values_of(b_gradient)};
  }
  [[nodiscard]] static Derivatives nothing() {
    Derivatives out;
    out.a.resize(kRank * kIn);
    out.b.resize(kOut * kRank);
    return out;
  }

 private:
  struct Input {
    std::vector<float> values;
    std::int64_t cols;
  };
  std::vector<Input> inputs_ = {{{}, kOut}, {{}, kIn}, {{}, kRank}, {{}, kQ}, {{}, kKv}, {{}, kKv}, {{}, kQ}, {{}, kQ}, {{}, kVocab}};
  std::vector<float> weight_, a_, b_;
};

using Part = std::vector<float> Samples::Derivatives::*;
constexpr Part kOfRows[] = {&Samples::Derivatives::dx,  &Samples::Derivatives::d_z, &Samples::Derivatives::d_q,
                            &Samples::Derivatives::d_k, &Samples::Derivatives::d_v, &Samples::Derivatives::d_logits};

TEST_P(TrainOpsInvariance, ASampleAloneHasTheBitsThatItHasAmongOthers) {
  const Samples samples(numbers_);
  const Samples::Derivatives together = samples.run(*backend_, 0, 3, Samples::nothing());
  Samples::Derivatives apart = Samples::nothing();
  for (std::size_t i = 0; i < 3; ++i) {
    const Samples::Derivatives own = samples.run(*backend_, i, i + 1, apart);
    apart.a = own.a;
    apart.b = own.b;
    for (const Part part : kOfRows) (apart.*part).insert((apart.*part).end(), (own.*part).begin(), (own.*part).end());
  }
  for (const Part part : kOfRows) EXPECT_EQ(apart.*part, together.*part);
  EXPECT_EQ(apart.a, together.a);
  EXPECT_EQ(apart.b, together.b);
}

TEST_P(TrainOpsInvariance, ThreadsChangeNoBit) {
  const Samples samples(numbers_);
  const Samples::Derivatives want = samples.run(*backend_, 0, 3, Samples::nothing());
  for (const int threads : {1, 3}) {
    Variant changed = GetParam();
    changed.threads = threads;
    const std::unique_ptr<Backend> other = open(changed);
    const Samples::Derivatives got = samples.run(*other, 0, 3, Samples::nothing());
    for (const Part part : kOfRows) EXPECT_EQ(got.*part, want.*part) << threads << " threads";
    EXPECT_EQ(got.a, want.a) << threads << " threads";
    EXPECT_EQ(got.b, want.b) << threads << " threads";
  }
}

}  // namespace
}  // namespace slora::testing
