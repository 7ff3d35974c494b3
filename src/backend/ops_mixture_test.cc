// Mixtures of experts: how rows are given to experts, and what these compute of them.
#include <gmock/gmock.h>

#include "backend/testing/op_fixture.h"

namespace slora::testing {
namespace {

using ::testing::ElementsAre;

// What route() makes of the scores of some rows.
class Routed {
 public:
  Routed(Backend& backend, std::int32_t expert_count, std::int64_t rows, const std::vector<float>& scores, const RouteParams& params)
      : begins_(backend, std::vector<std::int32_t>(static_cast<std::size_t>(expert_count) + 2)),
        rows_(backend, std::vector<std::int32_t>(static_cast<std::size_t>(rows * (params.chosen_count + 1)))),
        shares_(backend, std::vector<float>(static_cast<std::size_t>(rows * (params.chosen_count + 1)))) {
    const Matrix on_device(backend, DType::f32, rows, expert_count + (params.has_shared_expert ? 1 : 0), scores);
    view_ = {expert_count, begins_.span().data(), rows_.span().data(), shares_.span().data()};
    backend.ops().route(view_, on_device, params);
  }

  [[nodiscard]] const ExpertRows& view() const { return view_; }

 private:
  OnDevice<std::int32_t> begins_, rows_;
  OnDevice<float> shares_;
  ExpertRows view_;
};

class OpsMixture : public ::testing::TestWithParam<Variant> {
 protected:
  std::unique_ptr<Backend> backend_ = open(GetParam());
  Numbers numbers_{31};
};

INSTANTIATE_TEST_SUITE_P(Backends, OpsMixture, ::testing::ValuesIn(ops_variants()),
                         [](const auto& variant) { return std::string(variant.param.label); });
INSTANTIATE_TEST_SUITE_P(WeightsInBytes, OpsMixture, ::testing::ValuesIn(ops_int8_variants()),
                         [](const auto& variant) { return std::string(variant.param.label); });
INSTANTIATE_TEST_SUITE_P(WeightsInFourBits, OpsMixture, ::testing::ValuesIn(ops_int4_variants()),
                         [](const auto& variant) { return std::string(variant.param.label); });

// The reference has no weights in 8 bits.
class OpsMixtureOfWholeWeights : public OpsMixture {};
INSTANTIATE_TEST_SUITE_P(Backends, OpsMixtureOfWholeWeights, ::testing::ValuesIn(ops_variants()),
                         [](const auto& variant) { return std::string(variant.param.label); });

TEST_P(OpsMixture, RowsGoToTheirLikeliestExperts) {
  const float two = std::log(2.0f);
  const Routed routed(*backend_, 3, 3, {0, two, 2 * two, 2 * two, 0, two, two, 2 * two, 0}, {.chosen_count = 2});
  EXPECT_THAT(routed.view().rows_of(0), ElementsAre()) << "no expert is shared";
  EXPECT_THAT(routed.view().rows_of(1), ElementsAre(1, 2));
  EXPECT_THAT(routed.view().rows_of(2), ElementsAre(0, 2));
  EXPECT_THAT(routed.view().rows_of(3), ElementsAre(0, 1));
  EXPECT_THAT(routed.view().shares_of(3), ElementsAre(::testing::FloatEq(4.0f / 7), ::testing::FloatEq(2.0f / 7)));
}

TEST_P(OpsMixture, SharesMayAddUpToOneAndTheSharedExpertHasItsOwn) {
  const float two = std::log(2.0f);
  const Routed routed(*backend_, 3, 2, {0, two, 2 * two, two, 0, 0, 0, 0},
                      {.chosen_count = 2, .normalises_shares = true, .has_shared_expert = true});
  EXPECT_THAT(routed.view().rows_of(0), ElementsAre(0, 1));
  EXPECT_THAT(routed.view().shares_of(0), ElementsAre(::testing::FloatEq(2.0f / 3), ::testing::FloatEq(0.5f)));
  EXPECT_THAT(routed.view().shares_of(3), ElementsAre(::testing::FloatEq(4.0f / 6)));
}

TEST_P(OpsMixture, OfEquallyLikelyExpertsTheFirstAreChosen) {
  const Routed routed(*backend_, 5, 1, {1, 3, 3, 3, 3}, {.chosen_count = 3});
  EXPECT_THAT(routed.view().rows_of(1), ElementsAre());
  for (const std::int32_t expert : {2, 3, 4}) EXPECT_THAT(routed.view().rows_of(expert), ElementsAre(0)) << expert;
  EXPECT_THAT(routed.view().rows_of(5), ElementsAre());
}

TEST_P(OpsMixture, RowsOfNoNumbersStillHaveTheirNumberOfExperts) {
  const Routed routed(*backend_, 3, 1, std::vector<float>(3, NAN), {.chosen_count = 2});
  EXPECT_THAT(routed.view().rows_of(1), ElementsAre(0));
  EXPECT_THAT(routed.view().rows_of(2), ElementsAre(0));
}

// A layer of four experts and a shared one over 40 rows, any run of which can be computed alone. Some rows are under an adapter of expert
// 2's gate and up, some under one of the shared expert's down, some under one that leaves the MLPs alone.
class Mixture {
 public:
  static constexpr std::int32_t kRows = 40, kHidden = 67, kWidth = 21, kSharedWidth = 34, kExperts = 4, kZCols = 8;

  enum class Adapters { some, none };

  Mixture(Backend& backend, Numbers& numbers, Adapters adapters = Adapters::some)
      : backend_(&backend),
        scores_(numbers.vector(kRows * (kExperts + 1))),
        x_(backend, backend.product_dtype(), kRows, kHidden, numbers.vector(kRows * kHidden)) {
    for (std::int32_t expert = 0; expert <= kExperts; ++expert) {
      const std::int32_t width = expert == 0 ? kSharedWidth : kWidth;
      weights_.push_back({pack(backend, 2 * width, kHidden, numbers.vector(2 * width * kHidden), DType::f32),
                          pack(backend, kHidden, width, numbers.vector(kHidden * width), DType::f32)});
    }
    if (adapters == Adapters::none) return;
    const auto add = [&](Site site, std::int32_t out, std::int32_t in) {
      adapters_.emplace_back(backend, site, std::vector{make_record(numbers, 0, out, in, 5)}, Cuts{}, kNoAdapter, kExperts);
    };
    add({0, SiteKind::gate_up, 2}, 2 * kWidth, kHidden);
    add({0, SiteKind::down, 0}, kHidden, kSharedWidth);
    add({0, SiteKind::qkv}, kHidden, kHidden);
  }

  [[nodiscard]] Matrix run(std::int32_t begin, std::int32_t count) const {
    const auto first = scores_.begin() + begin * (kExperts + 1);
    const Routed routed(*backend_, kExperts, count, {first, first + count * (kExperts + 1)},
                        {.chosen_count = 2, .normalises_shares = true, .has_shared_expert = true});
    std::vector<AdapterSegment> segments;
    for (std::int32_t row = begin; row < begin + count; ++row) {
      const std::size_t adapter = static_cast<std::size_t>(row / 3) % 4;
      if (adapter < adapters_.size()) segments.push_back({row - begin, 1, 0, 1.0f, &adapters_[adapter].view()});
    }
    const MadeSegments batch(*backend_, segments, kZCols);
    const Matrix in(*backend_, backend_->product_dtype(), count, kHidden), ff(*backend_, backend_->product_dtype(), count, kSharedWidth);
    const Matrix y(*backend_, backend_->activation_dtype(), count, kHidden), z(*backend_, DType::f32, count, kZCols);
    Matrix out(*backend_, backend_->activation_dtype(), count, kHidden);
    backend_->ops().mix_experts(out, x_.tensor().rows_from(begin, count), {routed.view(), weights_, in, ff, y, z}, batch, 0,
                                Activation::silu);
    return out;
  }

  // The same of one row by the products that all layers have.
  [[nodiscard]] std::vector<double> sum_of_products(std::int32_t row) const {
    const auto first = scores_.begin() + row * (kExperts + 1);
    const Routed routed(*backend_, kExperts, 1, {first, first + kExperts + 1},
                        {.chosen_count = 2, .normalises_shares = true, .has_shared_expert = true});
    std::vector<double> sum(kHidden);
    for (std::int32_t expert = 0; expert <= kExperts; ++expert) {
      if (routed.view().rows_of(expert).empty()) continue;
      const MlpWeights& weights = weights_[static_cast<std::size_t>(expert)];
      const Matrix ff(*backend_, backend_->product_dtype(), 1, weights.down.in), y(*backend_, backend_->activation_dtype(), 1, kHidden);
      backend_->ops().linear_gated(ff, x_.tensor().rows_from(row, 1), weights.gate_up, {}, {}, {0, SiteKind::gate_up, expert},
                                   Activation::silu);
      backend_->ops().linear(y, ff, weights.down, {}, {}, {0, SiteKind::down, expert});
      const std::vector<float> given = values_of(y);
      for (std::size_t i = 0; i < given.size(); ++i) sum[i] += routed.view().shares_of(expert).front() * static_cast<double>(given[i]);
    }
    return sum;
  }

 private:
  Backend* backend_;
  std::vector<float> scores_;
  Matrix x_;
  std::vector<MlpWeights> weights_;
  std::deque<MadeAdapter> adapters_;
};

TEST_P(OpsMixtureOfWholeWeights, GivesWhatTheReferenceDoesRowAfterRow) {
  const std::unique_ptr<Backend> reference = open({"reference", "reference"});
  Numbers same{31};
  const Mixture mixture(*backend_, numbers_), expected(*reference, same);
  const std::vector<float> want = values_of(expected.run(0, Mixture::kRows));
  const double tolerance = backend_->product_dtype() == DType::f32 ? 2e-6 : 1e-2;
  EXPECT_LT(relative_error(values_of(mixture.run(0, Mixture::kRows)), {want.begin(), want.end()}), tolerance);
}

TEST_P(OpsMixture, IsTheSumOfWhatTheProductsOfTheExpertsGive) {
  const Mixture mixture(*backend_, numbers_, Mixture::Adapters::none);
  for (const std::int32_t row : {0, 17, 39}) {
    EXPECT_LT(relative_error(values_of(mixture.run(row, 1)), mixture.sum_of_products(row)), 2e-6) << row;
  }
}

TEST_P(OpsMixture, ARowIsTheSameInBatchesOfEverySize) {
  const Mixture mixture(*backend_, numbers_);
  const Matrix whole = mixture.run(0, Mixture::kRows);
  for (std::int32_t rows = 1; rows < Mixture::kRows; ++rows) {
    const std::int32_t begin = (Mixture::kRows - rows) / 2;
    EXPECT_TRUE(same_bits(mixture.run(begin, rows), whole.tensor().rows_from(begin, rows))) << rows << " rows from " << begin;
  }
}

TEST_P(OpsMixture, AdaptersOfOneExpertChangeOnlyRowsThatHaveIt) {
  Numbers same{31};
  const Mixture mixture(*backend_, numbers_), other(*backend_, same, Mixture::Adapters::none);
  const Matrix adapted = mixture.run(0, Mixture::kRows), base = other.run(0, Mixture::kRows);
  int changed = 0;
  for (std::int32_t row = 0; row < Mixture::kRows; ++row) {
    const bool is_same = same_bits(adapted.tensor().rows_from(row, 1), base.tensor().rows_from(row, 1));
    const std::int32_t adapter = row / 3 % 4;
    if (adapter == 0) changed += is_same ? 0 : 1;
    if (adapter > 0) {
      EXPECT_EQ(is_same, adapter > 1) << row;
    }
  }
  EXPECT_GT(changed, 0) << "of the rows under the adapter of expert 2";
  EXPECT_LT(changed, 12);
}

}  // namespace
}  // namespace slora::testing
