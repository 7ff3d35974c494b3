// Sampling on every backend: which tokens are kept, which are drawn, and that all backends draw the same.
#include <gmock/gmock.h>

#include <limits>
#include <map>
#include <set>

#include "backend/testing/op_fixture.h"

namespace slora::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class OpsSample : public ::testing::TestWithParam<Variant> {
 protected:
  std::unique_ptr<Backend> backend_ = open(GetParam());
  const std::int32_t stride_ = GetParam().stride;

  // Draws with `params`; `row` holds what else the test wants.
  TokenResult sample(const std::vector<float>& logits, const SamplingParams& params, SampleSource source = {},
                     const std::vector<TokenResult>& previous = {}) {
    source.params = &params;
    const auto vocab = static_cast<std::int64_t>(logits.size());
    const Matrix matrix(*backend_, DType::f32, 1, vocab, logits);
    return sample_all(*backend_, matrix, {source}, previous)[0];
  }

  // Shares of the tokens over many positions.
  std::map<TokenId, double> shares(const std::vector<float>& logits, const SamplingParams& params) {
    const std::uint32_t draws = 4000 / static_cast<std::uint32_t>(stride_);
    std::map<TokenId, double> out;
    for (SampleSource source; source.position < draws; ++source.position) out[sample(logits, params, source).id] += 1.0 / draws;
    return out;
  }

  static SamplingParams greedy() { return {.temperature = 0}; }
};

INSTANTIATE_TEST_SUITE_P(Backends, OpsSample, ::testing::ValuesIn(ops_variants()),
                         [](const auto& variant) { return std::string(variant.param.label); });

TEST_P(OpsSample, GreedyTakesTheHighestAndTheLowestTokenOfEquals) {
  EXPECT_EQ(sample({0, 3, -1, 3}, greedy()).id, 1);
  EXPECT_EQ(sample({-5, -4}, greedy()).id, 1);
  EXPECT_EQ(sample(std::vector<float>(100, 0.0f), greedy()).id, 0);
}

TEST_P(OpsSample, BrokenLogitsEndInATokenOrInNone) {
  EXPECT_EQ(sample({0, kInfinity, 5}, greedy()).id, 1);
  EXPECT_EQ(sample({0, kInfinity, 5}, {}).id, 1);
  EXPECT_EQ(sample(std::vector<float>(40, kNan), {}).id, -1);
  EXPECT_EQ(sample(std::vector<float>(40, -kInfinity), greedy()).id, -1);
  const std::vector<TokenId> all = {0, 1};
  EXPECT_EQ(sample({1, 2}, greedy(), {.banned = all}).id, -1);
}

TEST_P(OpsSample, OneNanAmongFiniteLogitsGivesNoToken) {
  SamplingParams with_logprobs = greedy();
  with_logprobs.logprob_count = 2;
  for (const std::size_t at : {0u, 1u, 17u, 63u, 64u, 99u}) {
    std::vector<float> logits(100, 1.0f);
    logits[50] = 3;
    logits[at] = at % 2 == 0 ? kNan : -kNan;
    EXPECT_EQ(sample(logits, greedy()).id, -1) << at;
    EXPECT_EQ(sample(logits, {}).id, -1) << at;
    EXPECT_EQ(sample(logits, with_logprobs).id, -1) << at;
    logits[2] = kInfinity;
    EXPECT_EQ(sample(logits, greedy()).id, -1) << at;
  }
}

TEST_P(OpsSample, BiasPenaltiesAndBansChangeTheChoice) {
  const std::vector<float> logits = {1.0f, 2.0f, -1.0f, 1.9f};
  SamplingParams params = greedy();
  params.logit_bias = {{2, 10.0f}};
  EXPECT_EQ(sample(logits, params).id, 2);

  const std::vector<TokenId> banned = {1};
  EXPECT_EQ(sample(logits, greedy(), {.banned = banned}).id, 3);

  const std::vector<TokenCount> counts = {{1, 3}};
  const SampleSource after_output{.output_counts = counts};
  params = greedy();
  EXPECT_EQ(sample(logits, params, after_output).id, 1);
  params.frequency_penalty = 0.1f;
  EXPECT_EQ(sample(logits, params, after_output).id, 3) << "2.0 - 3 x 0.1";
  params.frequency_penalty = 0;
  params.presence_penalty = 0.09f;
  EXPECT_EQ(sample(logits, params, after_output).id, 1) << "2.0 - 0.09";

  const std::vector<TokenId> prompt = {1, 3};
  const SampleSource after_both{.output_counts = counts, .prompt_tokens = prompt};
  params = greedy();
  params.repetition_penalty = 1.5f;
  EXPECT_EQ(sample(logits, params, after_both).id, 1) << "2.0 / 1.5 once, although it is in both lists";
  params.repetition_penalty = 3.0f;
  EXPECT_EQ(sample(logits, params, after_both).id, 0) << "2.0 / 3 and 1.9 / 3";
  EXPECT_EQ(sample({-2.0f, -1.0f, -9.0f, -9.0f}, params, after_both).id, 0) << "negative logits are multiplied";
}

// The token that the previous step draws is not in the counts yet when a step is built before that one has ended.
TEST_P(OpsSample, APendingTokenIsPenalisedAsIfItWereInTheCounts) {
  const std::vector<float> logits = {1.0f, 2.0f, -1.0f, 1.9f, 0.3f};
  const std::vector<TokenId> prompt = {0};
  for (const float penalty : {0.05f, 0.3f, 1.7f}) {
    for (TokenId pending = 0; pending < 5; ++pending) {
      std::vector<TokenCount> before = {{1, 2}, {3, 1}}, after = before;
      const auto found = std::ranges::find(after, pending, &TokenCount::token);
      if (found != after.end()) {
        ++found->count;
      } else {
        after.push_back({pending, 1});
        std::ranges::sort(after, {}, &TokenCount::token);
      }
      SamplingParams params = greedy();
      params.frequency_penalty = penalty;
      params.presence_penalty = 0.1f;
      params.repetition_penalty = 1 + penalty;
      std::vector<TokenResult> previous(3);
      previous[2].id = pending;
      const TokenResult told = sample(logits, params, {.pending_row = 2, .output_counts = before, .prompt_tokens = prompt}, previous);
      EXPECT_EQ(told.id, sample(logits, params, {.output_counts = after, .prompt_tokens = prompt}).id) << penalty << ", " << pending;
    }
  }
}

TEST_P(OpsSample, DrawsFollowTheDistribution) {
  const std::map<TokenId, double> drawn = shares({std::log(0.5f), std::log(0.25f), std::log(0.125f), std::log(0.125f)}, {});
  const double error_max = 0.03 * std::sqrt(stride_);
  EXPECT_NEAR(drawn.at(0), 0.5, error_max);
  EXPECT_NEAR(drawn.at(1), 0.25, error_max);
  EXPECT_NEAR(drawn.at(3), 0.125, error_max);
}

TEST_P(OpsSample, TopKTopPAndMinPKeepWhatTheySay) {
  const std::vector<float> logits = {std::log(0.1f), std::log(0.4f), std::log(0.1f), std::log(0.2f), std::log(0.2f)};
  const auto kept = [&](const SamplingParams& params) {
    std::vector<TokenId> tokens;
    for (const auto& [token, share] : shares(logits, params)) tokens.push_back(token);
    return tokens;
  };
  SamplingParams params;
  params.top_k = 1;
  EXPECT_THAT(kept(params), ElementsAre(1));
  params.top_k = 2;
  EXPECT_THAT(kept(params), ElementsAre(1, 3, 4)) << "equals of the second stay";
  params.top_k = 0;
  params.top_p = 0.3f;
  EXPECT_THAT(kept(params), ElementsAre(1));
  params.top_p = 0.55f;
  EXPECT_THAT(kept(params), ElementsAre(1, 3)) << "0.4 + 0.2, the lower token of equals first";
  params.top_p = 0.75f;
  params.top_k = 2;
  EXPECT_THAT(kept(params), ElementsAre(1, 3)) << "0.4 + 0.2 of the 0.8 that top-k left";
  params = {};
  params.min_p = 0.45f;
  EXPECT_THAT(kept(params), ElementsAre(1, 3, 4));
  params.top_p = 0.0f;
  EXPECT_THAT(kept(params), ElementsAre(1)) << "one token always stays";
  params = {};
  params.min_p = 1.0f;
  EXPECT_THAT(kept(params), ElementsAre(1));
}

TEST_P(OpsSample, LogprobsAreOfTheModelBeforeAnyChange) {
  const std::vector<TokenId> banned = {1};
  SamplingParams params = greedy();
  params.logprob_count = 3;
  const TokenResult out = sample({std::log(0.1f), std::log(0.5f), std::log(0.2f), std::log(0.2f)}, params, {.banned = banned});
  EXPECT_EQ(out.id, 2);
  EXPECT_NEAR(out.logprob, std::log(0.2), 1e-5);
  ASSERT_EQ(out.top_count, 3);
  EXPECT_EQ(out.top[0].token, 1);
  EXPECT_EQ(out.top[1].token, 2) << "the lower token of equals first";
  EXPECT_EQ(out.top[2].token, 3);
  EXPECT_NEAR(out.top[0].logprob, std::log(0.5), 1e-5);
  params.logprob_count = 0;
  EXPECT_EQ(sample({0, 1}, params).top_count, 0);
}

// Bits of the tokens, in as many words as a vocabulary of this size has.
std::vector<std::uint32_t> mask_of(std::size_t vocab, const std::vector<TokenId>& tokens) {
  std::vector<std::uint32_t> mask((vocab + 31) / 32);
  for (const TokenId token : tokens) mask[static_cast<std::size_t>(token) / 32] |= 1u << (token % 32);
  return mask;
}

TEST_P(OpsSample, OnlyTokensOfTheMaskAreDrawn) {
  std::vector<float> logits(100, 0.0f);
  for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i * 7 % 100) / 20;
  const auto drawn = [&](const std::vector<TokenId>& allowed, SamplingParams params, SampleSource source = {}) {
    source.params = &params;
    const Matrix matrix(*backend_, DType::f32, 1, std::ssize(logits), logits);
    return sample_all(*backend_, matrix, {source}, {}, {mask_of(logits.size(), allowed)})[0].id;
  };
  for (const TokenId token : {0, 15, 16, 31, 32, 47, 63, 64, 95, 96, 99}) {
    EXPECT_EQ(drawn({token}, greedy()), token);
    EXPECT_EQ(drawn({token}, {}), token);
  }
  EXPECT_EQ(drawn({3, 50, 98}, greedy()), 98) << "3: 21, 50: 50, 98: 86";
  EXPECT_EQ(drawn({3, 50}, greedy()), 50);
  SamplingParams biased = greedy();
  biased.logit_bias = {{3, 50.0f}, {7, 100.0f}};
  EXPECT_EQ(drawn({3, 50}, biased), 3) << "a bias counts among those allowed, and makes nothing else allowed";
  SamplingParams one;
  one.top_k = 1;
  EXPECT_EQ(drawn({3, 50}, one), 50) << "filters see what the mask leaves";
  std::set<TokenId> found;
  for (SampleSource source; source.position < 200; ++source.position) found.insert(drawn({2, 40, 99}, {}, source));
  EXPECT_EQ(found, (std::set<TokenId>{2, 40, 99}));
}

TEST_P(OpsSample, WhereNothingAllowedIsLeftTheLikeliestAllowedTokenIsDrawn) {
  const std::vector<float> logits = {5, 1, 2, 2, -kInfinity, -kInfinity};
  const auto drawn = [&](const std::vector<TokenId>& allowed, const std::vector<TokenId>& banned) {
    const SamplingParams params = greedy();
    const Matrix matrix(*backend_, DType::f32, 1, std::ssize(logits), logits);
    return sample_all(*backend_, matrix, {{.params = &params, .banned = banned}}, {}, {mask_of(logits.size(), allowed)})[0].id;
  };
  EXPECT_EQ(drawn({1, 2, 3}, {1, 2, 3}), 2) << "the lower token of equals";
  EXPECT_EQ(drawn({1, 2, 3}, {2, 3}), 1) << "something is left";
  EXPECT_EQ(drawn({1, 4}, {1}), 1);
  EXPECT_EQ(drawn({4, 5}, {0}), 4);
  EXPECT_EQ(drawn({4, 5}, {}), 4);
  EXPECT_EQ(drawn({}, {}), -1);
  EXPECT_EQ(drawn({}, {1}), -1);
}

TEST_P(OpsSample, LogprobsAreOfTheModelBeforeTheMask) {
  SamplingParams params = greedy();
  params.logprob_count = 2;
  const std::vector<float> logits = {std::log(0.1f), std::log(0.5f), std::log(0.2f), std::log(0.2f)};
  const Matrix matrix(*backend_, DType::f32, 1, 4, logits);
  const TokenResult out = sample_all(*backend_, matrix, {{.params = &params}}, {}, {{0b1001u}})[0];
  EXPECT_EQ(out.id, 3);
  EXPECT_NEAR(out.logprob, std::log(0.2), 1e-5);
  ASSERT_EQ(out.top_count, 2);
  EXPECT_EQ(out.top[0].token, 1) << "tokens that are not allowed are shown";
  EXPECT_NEAR(out.top[0].logprob, std::log(0.5), 1e-5);
}

TEST_P(OpsSample, AMaskWithFewerWordsAllowsNothingBeyond) {
  std::vector<float> logits(80, 0.0f);
  logits[70] = 9;  // a token of an adapter, say
  logits[20] = 1;
  const SamplingParams params = greedy();
  const Matrix matrix(*backend_, DType::f32, 1, 80, logits);
  EXPECT_EQ(sample_all(*backend_, matrix, {{.params = &params}}, {}, {{~0u, ~0u}})[0].id, 20);
}

TEST_P(OpsSample, ADrawDependsOnSeedChoiceAndPositionOnly) {
  const std::vector<float> logits(1000, 0.0f);
  const SamplingParams params{.seed = 7};
  const TokenId token = sample(logits, params).id;
  EXPECT_EQ(sample(logits, params).id, token);
  std::vector<TokenId> others;
  for (int i = 0; i < 3; ++i) {
    const SamplingParams other{.seed = i == 0 ? 8u : 7u};
    others.push_back(sample(logits, other, {.choice = i == 1 ? 1u : 0u, .position = i == 2 ? 1u : 0u}).id);
  }
  others.push_back(token);
  std::sort(others.begin(), others.end());
  EXPECT_EQ(std::unique(others.begin(), others.end()), others.end());
}

std::vector<SampleSource> rows_of(const std::vector<SamplingParams>& params) {
  std::vector<SampleSource> rows;
  for (const SamplingParams& one : params) rows.push_back({.params = &one});
  return rows;
}

// What every backend draws from the same logits [params.size(), vocab]; rows are checked against the reference's.
void expect_agreement(const std::vector<float>& values, std::int64_t vocab, const std::vector<SamplingParams>& params,
                      const std::vector<std::vector<std::uint32_t>>& masks = {}) {
  const std::vector<SampleSource> rows = rows_of(params);
  std::vector<TokenResult> want;
  for (const Variant& variant : reference_and_ops_variants()) {
    const std::unique_ptr<Backend> backend = open(variant);
    const Matrix logits(*backend, DType::f32, static_cast<std::int64_t>(rows.size()), vocab, values);
    const std::vector<TokenResult> got = sample_all(*backend, logits, rows, {}, masks);
    if (want.empty()) want = got;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(got[i].id, want[i].id) << variant.label << ", row " << i;
      EXPECT_NEAR(got[i].logprob, want[i].logprob, 1e-4);
      ASSERT_EQ(got[i].top_count, want[i].top_count);
      for (std::int32_t j = 0; j < got[i].top_count; ++j) EXPECT_EQ(got[i].top[j].token, want[i].top[j].token);
    }
  }
}

// A vocabulary as large as a model's, with equal logits among the high ones.
TEST(OpsSampleAgreement, EveryBackendDrawsTheSameTokens) {
  constexpr std::int64_t kVocab = 20011;
  std::vector<SamplingParams> rows;
  for (int i = 0; i < 60; ++i) {
    SamplingParams row;
    row.temperature = i % 5 == 4 ? 0.0f : 0.3f + 0.4f * static_cast<float>(i % 4);
    row.top_k = i % 3 == 1 ? 1 + 17 * i : 0;
    row.top_p = i % 2 == 1 ? 0.3f + 0.01f * static_cast<float>(i) : 1.0f;
    row.min_p = i % 7 == 3 ? 0.01f : 0.0f;
    row.seed = static_cast<std::uint64_t>(i) * 977;
    row.logprob_count = i % 4 == 0 ? i % 23 : -1;
    rows.push_back(row);
  }
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> values;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::int64_t token = 0; token < kVocab; ++token) {
      const float peak = i % 2 == 0 && token % 701 == 5 ? 9.0f : 0.0f;  // half of the rows have the high peak that models often have
      values.push_back(peak + std::round(normal(random) * 64) / 64);
    }
  }
  expect_agreement(values, kVocab, rows);

  std::vector<std::vector<std::uint32_t>> masks(rows.size());
  for (std::size_t i = 0; i < masks.size(); ++i) {
    if (i % 4 == 3) continue;
    for (std::int64_t word = 0; word < (kVocab + 31) / 32; ++word)
      masks[i].push_back(static_cast<std::uint32_t>(random()) & static_cast<std::uint32_t>(i % 4 == 1 ? random() & random() : ~0u));
    masks[i].back() &= (1u << (kVocab % 32)) - 1;
  }
  expect_agreement(values, kVocab, rows, masks);
}

// Nearly the whole vocabulary is kept, or a part of it whose last token is one of many (nearly) equally likely ones.
TEST(OpsSampleAgreement, EveryBackendDrawsTheSameTokensWhenMostAreAlike) {
  constexpr std::int64_t kVocab = 40009;
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 1);
  for (const float spread : {0.0f, 1e-3f, 0.6f, 6.0f}) {
    std::vector<SamplingParams> rows;
    std::vector<float> values;
    for (int i = 0; i < 24; ++i) {
      SamplingParams row;
      row.temperature = i % 3 == 0 ? 1.0f : 0.7f;
      row.top_k = i % 4 == 1 ? 30000 : i % 4 == 2 ? 3000 : 0;
      row.top_p = i % 2 == 0 ? 0.95f : i % 5 == 0 ? 0.999f : 0.2f;
      row.min_p = i % 6 == 5 ? 0.02f : 0.0f;
      row.seed = static_cast<std::uint64_t>(i) * 31;
      row.logprob_count = i % 8 == 0 ? 3 : -1;
      rows.push_back(row);
      for (std::int64_t token = 0; token < kVocab; ++token) {
        const float logit = spread * normal(random);
        values.push_back(i % 2 == 0 ? logit : std::round(logit * 32) / 32);
      }
    }
    expect_agreement(values, kVocab, rows);
  }
}

void expect_same_bits(const TokenResult& found, const TokenResult& expected, const std::string& what) {
  EXPECT_EQ(found.id, expected.id) << what;
  EXPECT_EQ(found.logprob, expected.logprob) << what;
  ASSERT_EQ(found.top_count, expected.top_count) << what;
  for (std::int32_t i = 0; i < found.top_count; ++i) {
    EXPECT_EQ(found.top[i].token, expected.top[i].token) << what;
    EXPECT_EQ(found.top[i].logprob, expected.top[i].logprob) << what;
  }
}

TEST_P(OpsSample, ARowsDrawDependsOnNoOtherRow) {
  constexpr std::int64_t kRows = 5, kVocab = 9001;
  Numbers numbers(23);
  const std::vector<float> values = numbers.vector(kRows * kVocab);
  std::vector<SamplingParams> params(kRows);
  for (std::size_t i = 0; i < kRows; ++i) {
    params[i].top_p = 0.5f + 0.1f * static_cast<float>(i);
    params[i].seed = i;
    params[i].logprob_count = 2;
  }
  std::vector<std::vector<std::uint32_t>> masks(kRows);  // of every second row
  for (std::size_t i = 1; i < kRows; i += 2) masks[i].assign((kVocab + 31) / 32, 0x10101010u << i);
  const Matrix matrix(*backend_, DType::f32, kRows, kVocab, values);
  const std::vector<TokenResult> plain = sample_all(*backend_, matrix, rows_of(params));
  const Matrix again(*backend_, DType::f32, kRows, kVocab, values);
  const std::vector<TokenResult> masked = sample_all(*backend_, again, rows_of(params), {}, masks);
  for (std::size_t i = 0; i < kRows; ++i) {
    const auto begin = values.begin() + static_cast<std::ptrdiff_t>(i * kVocab);
    const std::vector<float> own(begin, begin + kVocab);
    const std::string row = "row " + std::to_string(i);
    expect_same_bits(sample(own, params[i]), plain[i], row);
    const Matrix alone(*backend_, DType::f32, 1, kVocab, own);
    expect_same_bits(sample_all(*backend_, alone, {{.params = &params[i]}}, {}, {masks[i]})[0], masked[i], row);
    if (masks[i].empty()) expect_same_bits(masked[i], plain[i], row);
  }
}

}  // namespace
}  // namespace slora::testing
