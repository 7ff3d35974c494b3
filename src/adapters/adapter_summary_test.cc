#include "adapters/adapter_summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/testing/lora_fixture.h"
#include "base/testing/source_path.h"
#include "formats/model_folder.h"

namespace slora {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(AdapterSummary, NamesTheTokensFromWhichAnAdapterActs) {
  const auto summary = describe_adapter(source_path("tests/golden/mix32/activated/every")).value();
  EXPECT_EQ(summary.invocation_tokens, (std::vector<TokenId>{71, 5, 71}));
}

TEST(AdapterSummary, RefusesInvocationTokensThatTheBaseDoesNotHave) {
  const TemporaryFolder folder;
  LoraFixture fixture = small_lora();
  const auto measured = [&](const std::string& tokens) {
    fixture.config = R"({"peft_type": "LORA", "r": 4, "lora_alpha": 6, "alora_invocation_tokens": )" + tokens + "}";
    fixture.write(folder.path());
    return measure_adapter(folder.path(), test_base());
  };
  EXPECT_TRUE(measured("[7, 99]"));
  const Result<AdapterCost> refused = measured("[7, 100]");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "E_UNSUPPORTED_OPTION");
  EXPECT_THAT(refused.error().message,
              HasSubstr("\"alora_invocation_tokens\": expected tokens of the base model, which has 100, found 100"));
}

TEST(AdapterSummary, TellsFamilyTargetsRanksAndSize) {
  const TemporaryFolder folder;
  LoraFixture fixture;
  fixture.config = R"({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "use_rslora": true, "base_model_name_or_path": "a/base",
                       "rank_pattern": {"v_proj": 7}})";
  fixture.add_pair("model.layers.0.self_attn.q_proj", 4, 48, 48);
  fixture.add_pair("model.layers.1.self_attn.q_proj", 4, 48, 48);
  fixture.add_pair("model.layers.1.self_attn.v_proj", 7, 48, 24);
  fixture.write(folder.path());
  const AdapterSummary summary = describe_adapter(folder.path()).value();
  EXPECT_EQ(summary.family, "rsLoRA");
  EXPECT_EQ(summary.base_model_name, "a/base");
  EXPECT_THAT(summary.targets, ElementsAre("q_proj", "v_proj"));
  EXPECT_EQ(summary.module_count, 3);
  EXPECT_EQ(summary.rank_min, 4);
  EXPECT_EQ(summary.rank_max, 7);
  EXPECT_EQ(summary.parameter_count, 2u * 4 * 96 + 7 * 72);
  EXPECT_GT(summary.file_bytes, summary.parameter_count * 4);
}

TEST(AdapterSummary, CountsWhatAdaptersOfOtherFamiliesChange) {
  const TemporaryFolder folder;
  const std::string q = "model.layers.0.self_attn.q_proj.", v = "model.layers.0.self_attn.v_proj.";
  LoraFixture pruned;
  pruned.config = R"({"peft_type": "ADALORA", "init_r": 3, "lora_alpha": 4,
                      "rank_pattern": {"model.layers.0.self_attn.v_proj.lora_E": [false, false, false]}})";
  pruned.add(q + "lora_A", {3, 48}).add(q + "lora_E", {3, 1}).add(q + "lora_B", {48, 3});
  pruned.add(v + "lora_A", {0, 48}).add(v + "lora_E", {0, 1}).add(v + "lora_B", {24, 0}).write(folder.file("pruned"));
  const AdapterSummary of_pruned = describe_adapter(folder.file("pruned")).value();
  EXPECT_EQ(of_pruned.module_count, 1);
  EXPECT_THAT(of_pruned.targets, ElementsAre("q_proj"));
  EXPECT_EQ(of_pruned.rank_min, 3);

  LoraFixture loha;
  loha.config = R"({"peft_type": "LOHA", "r": 4, "alpha": 4})";
  loha.add(q + "hada_w1_a", {48, 4}).add(q + "hada_w1_b", {4, 48}).add(q + "hada_w2_a", {48, 4}).add(q + "hada_w2_b", {4, 48});
  loha.write(folder.file("loha"));
  EXPECT_EQ(describe_adapter(folder.file("loha"))->rank_max, 4);
}

TEST(AdapterSummary, MeasuresPagesOnABaseAndFindsWhatOnlyTheWeightsTell) {
  const TemporaryFolder folder;
  LoraFixture fixture = small_lora();
  fixture.write(folder.path());
  const AdapterBase base = test_base({DType::f32, 1}, 1024);
  const AdapterCost cost = measure_adapter(folder.path(), base).value();
  EXPECT_EQ(cost.image_bytes, cost.page_count * 1024u);
  EXPECT_GE(cost.image_bytes, 4u * 4 * (96 + 128));
  std::fill_n(fixture.tensors[0].bytes.begin(), 4, std::byte{0xff});
  fixture.write(folder.path());
  EXPECT_EQ(measure_adapter(folder.path(), base).error().code, "E_NONFINITE");
  EXPECT_TRUE(describe_adapter(folder.path()));
}

// Operations of q_proj [48, 48] in one layer and down_proj [48, 80] in the other; the whole image is read.
TEST(AdapterSummary, CountsWhatATokenOfLoraCosts) {
  const TemporaryFolder folder;
  small_lora().write(folder.path());
  const AdapterCost cost = measure_adapter(folder.path(), test_base({DType::f32, 1}, 1024)).value();
  EXPECT_EQ(cost.token_flops, 2 * 4 * (48 + 48) + 2 * 4 * (80 + 48));
  EXPECT_EQ(cost.base_token_flops, 2 * (2 * (48 * 48 + 2 * 24 * 48 + 48 * 48 + 3 * 80 * 48) + 100 * 48));
  EXPECT_EQ(cost.step_bytes, 4u * (4 * (48 + 48) + 4 * (80 + 48)));
}

// On a base of 2 layers: hidden 64, intermediate 160, k and v of 32, a vocabulary of 97.
AdapterCost cost_in_families(const std::string& adapter) {
  Result<ModelFolder> model = open_model_folder(source_path("tests/golden/families"));
  AdapterBase base{.modules = make_module_table(model->config), .format = {}, .page_bytes = 1 << 16};
  base.weights = std::make_shared<const ModelFiles>(std::move(model->files));
  return measure_adapter(source_path("tests/golden/families/adapters/" + adapter), base).value();
}

TEST(AdapterSummary, CountsWhatATokenOfOtherFamiliesCosts) {
  constexpr double kLinears = 64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 160;  // of a layer
  constexpr double kWidths = 2 * (64 + 64) + 2 * (64 + 32) + 3 * (64 + 160);
  EXPECT_EQ(cost_in_families("hira").token_flops, 2 * 4 * 2 * kLinears) << "HiRA of rank 4 is the base's product four times more";
  EXPECT_EQ(cost_in_families("dora").token_flops, 2 * 4 * 2 * kWidths) << "a gain costs next to nothing";
  // The others are of q and v in both layers: VeRA of rank 12, LoRA of rank 4.
  constexpr double kQueriesAndValues = 2 * ((64 + 64) + (64 + 32));
  const AdapterCost vera = cost_in_families("vera_prng");
  EXPECT_EQ(vera.token_flops, 2 * 12 * kQueriesAndValues);
  EXPECT_EQ(vera.step_bytes, 4u * 2 * (12 * (64 + 64) + 12 * (64 + 32) + 2 * 12 + 64 + 32)) << "each module reads the A and B of all";
  EXPECT_EQ(cost_in_families("mts_norm").token_flops, 2 * 4 * kQueriesAndValues) << "a norm's gain costs next to nothing";
  // With 3 rows of the head and 2 of the embedding, of which a token has one.
  const AdapterCost tokens = cost_in_families("tokens_map");
  EXPECT_EQ(tokens.token_flops, 2 * 4 * kQueriesAndValues + 2 * 3 * 64);
  EXPECT_EQ(tokens.step_bytes, 4u * (4 * 2 * (64 + 64 + 64 + 32) + 3 * 64 + 3 + 64 + 2));
}

TEST(AdapterSummary, SaysWhichModulesOfTheBaseTheFileLacks) {
  const TemporaryFolder folder;
  LoraFixture fixture;
  fixture.config = R"({"peft_type": "LORA", "r": 4, "lora_alpha": 6, "target_modules": ["q_proj"]})";
  fixture.add_pair("model.layers.0.self_attn.q_proj", 4, 48, 48).write(folder.path());
  EXPECT_TRUE(describe_adapter(folder.path())->warnings.empty());
  const std::vector<std::string> warnings = measure_adapter(folder.path(), test_base())->warnings;
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("model.layers.1.self_attn.q_proj"), std::string::npos) << warnings[0];
}

}  // namespace
}  // namespace slora
