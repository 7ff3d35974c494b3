#include "train/adapter_masters.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/testing/source_path.h"
#include "formats/model_config.h"

namespace slora {
namespace {

ModuleTable table_of(const std::string& model) { return make_module_table(*read_model_config(source_path("tests/golden/" + model))); }

AdapterMasters made(const AdapterOptions& options, const std::string& model = "qwen3_norms") {
  Result<AdapterMasters> masters = make_masters(options, table_of(model), 5);
  check(masters.has_value(), "expected masters");
  return std::move(*masters);
}

void expect_refused(const AdapterOptions& options, const std::string& code, const std::string& mention) {
  const Result<AdapterMasters> masters = make_masters(options, table_of("mix32"), 5);
  ASSERT_FALSE(masters.has_value());
  EXPECT_EQ(masters.error().code, code);
  EXPECT_NE(masters.error().message.find(mention), std::string::npos) << masters.error().message;
}

TEST(AdapterMasters, AreOfAllLinearModulesOfLayersUnlessTheOptionsSay) {
  const AdapterMasters all = made({});
  EXPECT_EQ(all.modules.size(), 14u);
  EXPECT_EQ(all.values.size(), all.modules.back().end());
  EXPECT_TRUE(
      std::ranges::is_sorted(all.modules, {}, [](const MasterModule& module) { return std::pair(module.site, module.slice_begin); }));
  const AdapterMasters some = made({.target_modules = {"v_proj", "down_proj"}});
  ASSERT_EQ(some.modules.size(), 4u);
  EXPECT_EQ(some.modules[1].path, "model.layers.0.mlp.down_proj");
  EXPECT_EQ(made({}, "phi3").modules.size(), 8u) << "fused modules are modules";
}

TEST(AdapterMasters, BeginWithSmallNumbersInAAndZerosInB) {
  AdapterMasters masters = made({.rank = 4});
  for (const MasterModule& module : masters.modules) {
    const std::span<float> a = module.a_of(std::span(masters.values)), b = module.b_of(std::span(masters.values));
    EXPECT_TRUE(std::ranges::all_of(b, [](float value) { return value == 0; }));
    const float bound = 1 / std::sqrt(static_cast<float>(module.in)),
                largest = std::abs(std::ranges::max(a, {}, [](float v) { return std::abs(v); }));
    EXPECT_LE(largest, bound);
    EXPECT_GT(largest, 0.9f * bound);
  }
  EXPECT_EQ(masters.values, made({.rank = 4}).values) << "drawn by the seed";
  const std::span<float> first = masters.modules[0].a_of(std::span(masters.values)),
                         second = masters.modules[1].a_of(std::span(masters.values));
  EXPECT_NE(first[0], second[0]);
}

TEST(AdapterMasters, HaveRanksAndScalesByPatterns) {
  const AdapterMasters masters = made({.rank = 4,
                                       .alpha = 8,
                                       .scale_by_root_of_rank = true,
                                       .target_modules = {"q_proj", "o_proj"},
                                       .rank_pattern = {{"layers.1.self_attn.q_proj", 9}},
                                       .alpha_pattern = {{"o_proj", 2}}});
  ASSERT_EQ(masters.modules.size(), 4u);
  const auto expect = [&](std::size_t index, std::int32_t rank, double scale) {
    EXPECT_EQ(masters.modules[index].rank, rank) << masters.modules[index].path;
    EXPECT_FLOAT_EQ(masters.modules[index].scale, static_cast<float>(scale)) << masters.modules[index].path;
  };
  expect(0, 4, 4);
  expect(1, 4, 1);
  expect(2, 9, 8.0 / 3);
  expect(3, 4, 1);
}

TEST(AdapterMasters, ContinueAnAdapterThatIsThere) {
  const std::string folder = source_path("tests/golden/mix32/adapters/a33_patterns");
  const Result<AdapterMasters> masters = make_masters({.init = folder}, table_of("mix32"), 5);
  ASSERT_TRUE(masters.has_value()) << masters.error().message;
  EXPECT_GT(masters->modules.size(), 1u);
  EXPECT_EQ(masters->values.size(), masters->modules.back().end());
  const auto [least, most] = std::ranges::minmax_element(masters->modules, {}, &MasterModule::rank);
  EXPECT_LT(least->rank, most->rank);
}

TEST(AdapterMasters, RefuseWhatIsNotTrainedByName) {
  expect_refused({.method = "vera"}, "E_UNSUPPORTED_TRAINING", "\"vera\"");
  expect_refused({.dropout = 0.1}, "E_UNSUPPORTED_TRAINING", "dropout 0.1");
  expect_refused({.target_modules = {"q_proj", "lm_head"}}, "E_TARGET", "\"lm_head\": expected one of q_proj, k_proj, v_proj, o_proj");
  expect_refused({.rank = 0}, "E_RANK", "found 0");
  expect_refused({.rank_pattern = {{"(", 3}}}, "E_PATTERN", "(");
  expect_refused({.rank_pattern = {{"q_proj", 3}, {"q_projj", 3}}}, "E_PATTERN", "q_projj");
  expect_refused({.target_modules = {"v_proj"}, .alpha_pattern = {{"q_proj", 3}}}, "E_PATTERN", "q_proj");
  expect_refused({.init = source_path("tests/golden/mix32/adapters/a34_lora_bias")}, "E_UNSUPPORTED_TRAINING",
                 "expected an adapter of LoRA");
  expect_refused({.init = source_path("tests/golden/mix32/none")}, "E_NO_FOLDER", "none");
}

}  // namespace
}  // namespace slora
