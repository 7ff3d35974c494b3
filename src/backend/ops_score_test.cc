// Scoring known tokens on every backend: likelihood, rank, and the same bits as sampling gives.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "backend/testing/op_fixture.h"

namespace slora::testing {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Logits as of a model with a large vocabulary, some of them equal. [rows, vocab]
std::vector<float> made_logits(std::int64_t rows, std::int64_t vocab) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> out(static_cast<std::size_t>(rows * vocab));
  for (float& logit : out) logit = std::round(normal(random) * 64) / 64;
  return out;
}

class OpsScore : public ::testing::TestWithParam<Variant> {
 protected:
  std::unique_ptr<Backend> backend_ = open(GetParam());

  TokenResult score(const std::vector<float>& logits, const ScoreRow& row) {
    const Matrix matrix(*backend_, DType::f32, 1, static_cast<std::int64_t>(logits.size()), logits);
    return score_all(*backend_, matrix, {row})[0];
  }
};

INSTANTIATE_TEST_SUITE_P(Backends, OpsScore, ::testing::ValuesIn(ops_variants()),
                         [](const auto& variant) { return std::string(variant.param.label); });

TEST_P(OpsScore, TellsLikelihoodRankAndTheMostLikely) {
  const std::vector<float> logits = {std::log(0.1f), std::log(0.5f), std::log(0.2f), std::log(0.2f)};
  const TokenResult out = score(logits, {.token = 3, .logprob_count = 2});
  EXPECT_EQ(out.id, 3);
  EXPECT_NEAR(out.logprob, std::log(0.2), 1e-5);
  EXPECT_EQ(out.rank, 3) << "the lower token of equals first";
  ASSERT_EQ(out.top_count, 2);
  EXPECT_EQ(out.top[0].token, 1);
  EXPECT_NEAR(out.top[0].logprob, std::log(0.5), 1e-5);
  EXPECT_EQ(out.top[1].token, 2);
  EXPECT_EQ(score(logits, {.token = 1, .logprob_count = 0}).rank, 1);
  EXPECT_EQ(score(logits, {.token = 0, .logprob_count = 0}).rank, 4);
  EXPECT_EQ(score(logits, {.token = 0, .logprob_count = 0}).top_count, 0);
  EXPECT_EQ(score(logits, {.token = 0, .logprob_count = 9}).top_count, 4);
}

TEST_P(OpsScore, BrokenLogitsAreImpossibleTokensOrARowWithoutRank) {
  const TokenResult impossible = score({1, -kInfinity, -kInfinity, 2}, {.token = 2, .logprob_count = 4});
  EXPECT_EQ(impossible.logprob, -kInfinity);
  EXPECT_EQ(impossible.rank, 4);
  EXPECT_EQ(impossible.top_count, 2);
  const TokenResult broken = score(std::vector<float>(40, kNan), {.token = 2, .logprob_count = 4});
  EXPECT_EQ(broken.rank, 0);
  EXPECT_EQ(broken.top_count, 0);
}

TEST_P(OpsScore, OneNanAmongFiniteLogitsIsARowWithoutRank) {
  for (const std::size_t at : {0u, 17u, 63u, 99u}) {
    std::vector<float> logits(100, 1.0f);
    logits[at] = kNan;
    EXPECT_EQ(score(logits, {.token = 2, .logprob_count = 4}).rank, 0) << at;
  }
}

TEST_P(OpsScore, TellsTheSameBitsAsSamplingAndPlacesTokensWhereTheyStand) {
  constexpr std::int64_t kRows = 5, kVocab = 4099;
  const std::vector<float> values = made_logits(kRows, kVocab);
  const Matrix for_sample(*backend_, DType::f32, kRows, kVocab, values), for_score(*backend_, DType::f32, kRows, kVocab, values);
  SamplingParams greedy;
  greedy.temperature = 0;
  greedy.logprob_count = 30;
  const std::vector<TokenResult> sampled = sample_all(*backend_, for_sample, std::vector<SampleSource>(kRows, {.params = &greedy}));

  std::vector<ScoreRow> rows;
  for (std::size_t i = 0; i < kRows; ++i) rows.push_back({.token = sampled[i].top[5 * i].token, .logprob_count = 30});
  const std::vector<TokenResult> scored = score_all(*backend_, for_score, rows);
  for (std::size_t i = 0; i < kRows; ++i) {
    EXPECT_EQ(scored[i].rank, static_cast<std::int32_t>(5 * i + 1));
    EXPECT_EQ(scored[i].logprob, sampled[i].top[5 * i].logprob);
    ASSERT_EQ(scored[i].top_count, sampled[i].top_count);
    for (std::int32_t k = 0; k < scored[i].top_count; ++k) {
      EXPECT_EQ(scored[i].top[k].token, sampled[i].top[k].token);
      EXPECT_EQ(scored[i].top[k].logprob, sampled[i].top[k].logprob);
    }
  }
}

TEST(OpsScoreAgreement, EveryBackendTellsTheSame) {
  constexpr std::int64_t kRows = 40, kVocab = 20011;
  const std::vector<float> values = made_logits(kRows, kVocab);
  std::vector<ScoreRow> rows;
  for (std::int32_t i = 0; i < kRows; ++i)
    rows.push_back({.token = (i * 7919) % static_cast<std::int32_t>(kVocab), .logprob_count = i % 23});
  std::vector<TokenResult> want;
  for (const Variant& variant : reference_and_ops_variants()) {
    const std::unique_ptr<Backend> backend = open(variant);
    const Matrix logits(*backend, DType::f32, kRows, kVocab, values);
    const std::vector<TokenResult> got = score_all(*backend, logits, rows);
    if (want.empty()) want = got;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(got[i].rank, want[i].rank) << variant.label << ", row " << i;
      EXPECT_NEAR(got[i].logprob, want[i].logprob, 1e-4);
      ASSERT_EQ(got[i].top_count, want[i].top_count);
      for (std::int32_t j = 0; j < got[i].top_count; ++j) EXPECT_EQ(got[i].top[j].token, want[i].top[j].token);
    }
  }
}

}  // namespace
}  // namespace slora::testing
