#include "model/rope.h"

#include <gtest/gtest.h>

#include <cmath>

namespace slora {
namespace {

constexpr std::int32_t kHeadDim = 16;

// Expected values were printed by transformers' ROPE_INIT_FUNCTIONS for heads of 16.
void expect_frequencies(const RopeConfig& config, const std::vector<float>& expected, float attention_factor) {
  const RopeFrequencies found = make_rope_frequencies(config, kHeadDim);
  ASSERT_EQ(found.inverse.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(found.inverse[i], expected[i], 2e-7f * expected[i]) << "pair " << i;
  EXPECT_FLOAT_EQ(found.attention_factor, attention_factor);
}

TEST(Rope, DefaultFrequenciesAreTransformers) {
  expect_frequencies({}, {1.f, 0.316227764f, 0.100000001f, 0.0316227786f, 0.00999999978f, 0.00316227786f, 0.00100000005f, 0.000316227786f},
                     1);
}

TEST(Rope, LinearFrequenciesAreTransformers) {
  RopeConfig config;
  config.kind = RopeKind::linear;
  config.factor = 4;
  expect_frequencies(
      config, {0.25f, 0.079056941f, 0.0250000004f, 0.00790569466f, 0.00249999994f, 0.000790569466f, 0.000250000012f, 7.90569466e-05f}, 1);
}

TEST(Rope, Llama3FrequenciesAreTransformers) {
  RopeConfig config;
  config.kind = RopeKind::llama3;
  config.theta = 500000;
  config.factor = 8;
  config.original_max_position = 64;
  expect_frequencies(
      config, {1.f, 0.079403013f, 0.00470075384f, 0.000911583134f, 0.000176776681f, 3.42810235e-05f, 6.64786967e-06f, 1.28917316e-06f}, 1);
}

TEST(Rope, YarnFrequenciesAndAttentionFactorAreTransformers) {
  RopeConfig config;
  config.kind = RopeKind::yarn;
  config.factor = 4;
  config.original_max_position = 64;
  expect_frequencies(config,
                     {1.f, 0.237170815f, 0.049999997f, 0.00790569466f, 0.00249999994f, 0.000790569466f, 0.000250000012f, 7.90569466e-05f},
                     1.13862944f);
  config.beta_fast = 16;
  config.beta_slow = 2;
  config.mscale = 0.7;
  config.mscale_all_dim = 0.3;
  config.truncate = false;
  expect_frequencies(config,
                     {1.f, 0.14849025f, 0.0250000004f, 0.00790569466f, 0.00249999994f, 0.000790569466f, 0.000250000012f, 7.90569466e-05f},
                     1.05323768f);
}

TEST(Rope, DynamicEqualsDefaultUpToItsOriginalLength) {
  RopeConfig dynamic;
  dynamic.kind = RopeKind::dynamic;
  dynamic.factor = 8;
  EXPECT_EQ(make_rope_frequencies(dynamic, kHeadDim).inverse, make_rope_frequencies({}, kHeadDim).inverse);
}

TEST(Rope, TablesHoldCosAndSinOfEveryAngleTimesTheAttentionFactor) {
  const RopeFrequencies frequencies{{1.0f, 0.5f}, 2.0f};
  const std::unique_ptr<Backend> backend = std::move(*create_backend("reference", {}));
  const RopeTables tables(frequencies, {.position_count = 300}, *backend);
  const RopeTable view = tables.view();
  ASSERT_EQ(view.cos.rows, 300);
  ASSERT_EQ(view.cos.cols, 2);
  for (int position = 0; position < 300; ++position) {
    const auto angle = static_cast<float>(position);
    EXPECT_FLOAT_EQ(view.cos.row<float>(position)[0], 2 * std::cos(angle));
    EXPECT_FLOAT_EQ(view.sin.row<float>(position)[1], 2 * std::sin(0.5f * angle));
  }
}

TEST(Rope, PartsOfTablesAreFilledAndReplacedWithoutTheOthers) {
  const RopeFrequencies slow{{0.5f, 0.25f}, 1.0f}, slower{{0.125f, 0.0625f}, 1.0f};
  const std::unique_ptr<Backend> backend = std::move(*create_backend("reference", {}));
  RopeTables tables({{1.0f, 0.5f}, 1.0f}, {.position_count = 10, .extended_position_count = 300}, *backend);
  const RopeTable view = tables.view();
  ASSERT_EQ(view.cos.rows, 10 + kRopePartsMax * 300);
  EXPECT_EQ(tables.begin_of(0), 10);
  EXPECT_EQ(tables.begin_of(kRopePartsMax - 1), 10 + (kRopePartsMax - 1) * 300);
  const auto expect_rows = [&](std::int32_t begin, std::int32_t count, const RopeFrequencies& frequencies) {
    for (std::int32_t position = 0; position < count; ++position) {
      const float angle = static_cast<float>(position) * frequencies.inverse[1];
      EXPECT_FLOAT_EQ(view.cos.row<float>(begin + position)[1], std::cos(angle)) << "row " << begin + position;
      EXPECT_FLOAT_EQ(view.sin.row<float>(begin + position)[1], std::sin(angle)) << "row " << begin + position;
    }
  };
  tables.fill_part(1, 300, slow);
  tables.fill_part(3, 290, slow);
  tables.fill_part(1, 300, slower);
  expect_rows(0, 10, {{1.0f, 0.5f}, 1.0f});
  expect_rows(tables.begin_of(1), 300, slower);
  expect_rows(tables.begin_of(3), 290, slow);
  EXPECT_EQ(view.cos.row<float>(tables.begin_of(3) + 290)[0], 0.0f) << "untouched";
  EXPECT_EQ(view.cos.row<float>(tables.begin_of(2))[0], 0.0f) << "untouched";
}

}  // namespace
}  // namespace slora
