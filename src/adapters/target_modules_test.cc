#include "adapters/target_modules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "formats/json.h"

namespace slora {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TargetModules targets(const std::string& members) {
  const std::string config = R"({"peft_type": "LORA", "r": 4, "lora_alpha": 6, )" + members + "}";
  return TargetModules(parse_adapter_config(*parse_json(config)).value());
}

constexpr const char* kTargetQ0 = "model.layers.0.self_attn.q_proj";
constexpr const char* kTargetQ1 = "model.layers.1.self_attn.q_proj";

TEST(TargetModules, SelectsByNames) {
  const TargetModules names = targets(R"("target_modules": ["q_proj", "mlp.up_proj", "model.layers.1.self_attn.k_proj"])");
  EXPECT_EQ(names.selects(kTargetQ0), true);
  EXPECT_EQ(names.selects("model.layers.1.mlp.up_proj"), true);
  EXPECT_EQ(names.selects("model.layers.1.self_attn.k_proj"), true);
  EXPECT_EQ(names.selects("model.layers.0.self_attn.k_proj"), false);
  EXPECT_EQ(names.selects("model.layers.0.self_attn.qq_proj"), false);
  EXPECT_EQ(targets(R"("target_modules": ["proj"])").selects(kTargetQ0), false);
}

TEST(TargetModules, SelectsByAnExpressionOfTheWholePath) {
  EXPECT_EQ(targets(R"("target_modules": ".*\\.0\\..*q_proj")").selects(kTargetQ0), true);
  EXPECT_EQ(targets(R"("target_modules": ".*\\.0\\..*q_proj")").selects(kTargetQ1), false);
  EXPECT_EQ(targets(R"("target_modules": "self_attn\\.q_proj")").selects(kTargetQ0), false);
  EXPECT_EQ(targets(R"("target_modules": ".*self_attn|k_proj")").selects(kTargetQ0), false);
  EXPECT_EQ(targets(R"("target_modules": "model.*q_")").selects(kTargetQ0), false);
  EXPECT_EQ(targets(R"("target_modules": "all-linear")").selects(kTargetQ0), true);
  EXPECT_EQ(targets(R"("target_modules": "all-linear")").selects("lm_head"), false);
}

TEST(TargetModules, LeavesOutWhatIsExcluded) {
  EXPECT_EQ(targets(R"("target_modules": ["q_proj"], "exclude_modules": ["layers.1.self_attn.q_proj"])").selects(kTargetQ1), false);
  EXPECT_EQ(targets(R"("target_modules": ["q_proj"], "exclude_modules": ["layers.1.self_attn.q_proj"])").selects(kTargetQ0), true);
  EXPECT_EQ(targets(R"("target_modules": "all-linear", "exclude_modules": ".*layers\\.1\\..*")").selects(kTargetQ1), false);
  EXPECT_EQ(targets(R"("target_modules": "all-linear", "exclude_modules": "layers\\.1\\..*")").selects(kTargetQ1), true);
}

TEST(TargetModules, SelectsLayersOfNamesOnly) {
  const TargetModules names =
      targets(R"("target_modules": ["q_proj", "lm_head", "model.layers.1.self_attn.k_proj"], "layers_to_transform": [0, 2])");
  EXPECT_EQ(names.selects(kTargetQ0), true);
  EXPECT_EQ(names.selects(kTargetQ1), false);
  EXPECT_EQ(names.selects("model.layers.12.self_attn.q_proj"), false);
  EXPECT_EQ(names.selects("model.layers.1.self_attn.k_proj"), true);  // a whole path
  EXPECT_EQ(names.selects("head.lm_head"), false);
  EXPECT_EQ(targets(R"("target_modules": ".*q_proj", "layers_to_transform": 0)").selects(kTargetQ1), true);
}

TEST(TargetModules, DoesNotTellWithoutTargetsAndForExpressionsOfOtherMeaning) {
  EXPECT_EQ(targets(R"("bias": "none")").selects(kTargetQ0), std::nullopt);
  EXPECT_EQ(targets(R"("target_modules": "(?i).*q_proj")").selects(kTargetQ0), std::nullopt);
  EXPECT_EQ(targets(R"("target_modules": ["q_proj"], "exclude_modules": "(")").selects(kTargetQ0), std::nullopt);
}

TEST(TargetModules, ListsNamesThatNoPathHas) {
  const std::vector<std::string_view> paths = {kTargetQ0, "model.layers.0.mlp.up_proj"};
  EXPECT_THAT(targets(R"("target_modules": ["q_proj", "o_proj", "mlp.up_proj", "proj"])").names_missing_in(paths),
              ElementsAre("o_proj", "proj"));
  EXPECT_THAT(targets(R"("target_modules": ".*o_proj")").names_missing_in(paths), IsEmpty());
}

}  // namespace
}  // namespace slora
