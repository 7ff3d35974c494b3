#include "adapters/stacked_experts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "adapters/adapter_importer.h"
#include "adapters/testing/lora_fixture.h"
#include "formats/json.h"

namespace slora {
namespace {

using ::testing::HasSubstr;

constexpr const char* kStack = "model.layers.1.mlp.experts";

// Experts in the second layer: 4 of width 20, hidden size 24.
ModuleTable modules_with_experts() {
  const Json config = *parse_json(R"({"model_type": "qwen3_moe", "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
      "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 12, "vocab_size": 50, "num_experts": 4, "num_experts_per_tok": 2,
      "moe_intermediate_size": 20, "mlp_only_layers": [0]})");
  return make_module_table(parse_model_config(config).value());
}

// LoRA of gate and up with rank 2, and of down with rank 3.
LoraFixture stacked(const std::string& more = "") {
  LoraFixture fixture;
  fixture.config = R"({"peft_type": "LORA", "r": 3, "lora_alpha": 6, "rank_pattern": {".*\\.gate_up_proj": 2},
                       "target_parameters": ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"])" +
                   more + "}";
  const std::string outer = kStack, inner = outer + ".base_layer";
  fixture.add(inner + ".lora_A.weight", {4 * 2, 24}).add(inner + ".lora_B.weight", {40, 2 * 4});
  return fixture.add(outer + ".lora_A.weight", {4 * 3, 20}).add(outer + ".lora_B.weight", {24, 3 * 4});
}

Result<AdapterPlan> import_stacked(const LoraFixture& fixture, const ModuleTable& base) {
  const AdapterConfig config = parse_adapter_config(*parse_json(fixture.config)).value();
  std::vector<TensorInfo> tensors;
  for (const TensorToWrite& tensor : fixture.tensors) tensors.push_back({tensor.name, tensor.dtype, tensor.shape, 0, tensor.bytes.size()});
  Result<AdapterModules> modules = read_family_modules(config, tensors, {.rank_max = 512, .modules = &base});
  if (!modules) return forward_error(modules);
  return import_modules(std::move(*modules), config, base);
}

std::string refusal_of_stacked(const LoraFixture& fixture, const ModuleTable& base) {
  const Result<AdapterPlan> plan = import_stacked(fixture, base);
  return plan ? "accepted" : plan.error().code + ": " + plan.error().message;
}

TEST(StackedExperts, AreRecordsOfEachExpert) {
  const Result<AdapterPlan> plan = import_stacked(stacked(), modules_with_experts());
  ASSERT_TRUE(plan) << plan.error().message;
  ASSERT_EQ(plan->records.size(), 4u * 3) << "gate, up and down of each";
  const AdapterRecord &up = plan->records[3], &down = plan->records.back();
  EXPECT_EQ(up.site, (Site{1, SiteKind::gate_up, 2}));
  EXPECT_EQ(up.slice_begin, 20);
  EXPECT_EQ(up.rank, 2);
  EXPECT_EQ(up.scale, 3.0f);
  EXPECT_EQ(up.find(PartKind::a)->origin, (SourceOrigin{2, 0, 1})) << "the ranks of the second expert";
  EXPECT_EQ(up.find(PartKind::b)->origin, (SourceOrigin{20, 1, 4})) << "every fourth column, of up's rows";
  EXPECT_EQ(down.site, (Site{1, SiteKind::down, 4}));
  EXPECT_EQ(down.rank, 3);
  EXPECT_EQ(down.find(PartKind::b)->origin, (SourceOrigin{0, 3, 4}));
}

TEST(StackedExperts, OfOneParameterAreFoundByTheConfig) {
  LoraFixture fixture = stacked();
  fixture.tensors.erase(fixture.tensors.begin(), fixture.tensors.begin() + 2);
  const ModuleTable base = modules_with_experts();
  EXPECT_THAT(refusal_of_stacked(fixture, base), HasSubstr("E_PAIR")) << "which of the two is it?";
  fixture.config = R"({"peft_type": "LORA", "r": 3, "lora_alpha": 6, "target_parameters": ["mlp.experts.down_proj"]})";
  const Result<AdapterPlan> plan = import_stacked(fixture, base);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->records.size(), 4u);
  EXPECT_EQ(plan->records.front().site, (Site{1, SiteKind::down, 1}));
}

TEST(StackedExperts, AreRefusedWhereTheyDoNotFit) {
  const ModuleTable base = modules_with_experts();
  EXPECT_EQ(refusal_of_stacked(stacked(), base), "accepted");
  EXPECT_THAT(refusal_of_stacked(stacked(R"(, "use_dora": true)"), base), HasSubstr("expected no \"use_dora\" next to it"));
  EXPECT_THAT(refusal_of_stacked(stacked(), test_modules()), HasSubstr("\"target_parameters\": expected none, as the base has no experts"));
  LoraFixture fixture = stacked();
  fixture.config = R"({"peft_type": "LORA", "r": 5, "lora_alpha": 6, "target_parameters": ["mlp.experts.down_proj"]})";
  EXPECT_THAT(refusal_of_stacked(fixture, base), HasSubstr("expected [20, 24], of 4 experts with rank 5, found [8, 24]"));
  fixture = stacked();
  fixture.tensors.pop_back();
  EXPECT_THAT(refusal_of_stacked(fixture, base), HasSubstr("E_PAIR"));
  fixture = stacked();
  for (TensorToWrite& tensor : fixture.tensors) tensor.name.replace(tensor.name.find("layers.1"), 8, "layers.0");
  EXPECT_THAT(refusal_of_stacked(fixture, base), HasSubstr("E_UNKNOWN_MODULE: the base has no experts where the adapter has"));
}

TEST(StackedExperts, AreOneModuleForEachTensorWhereNoBaseIsKnown) {
  const LoraFixture fixture = stacked();
  const AdapterConfig config = parse_adapter_config(*parse_json(fixture.config)).value();
  std::vector<TensorInfo> tensors;
  for (const TensorToWrite& tensor : fixture.tensors) tensors.push_back({tensor.name, tensor.dtype, tensor.shape, 0, tensor.bytes.size()});
  const AdapterModules modules = read_family_modules(config, tensors, {.rank_max = 512}).value();
  ASSERT_EQ(modules.modules.size(), 2u);
  EXPECT_EQ(modules.modules[0].path, "model.layers.1.mlp.experts.gate_up_proj");
  EXPECT_EQ(modules.modules[0].rank, 2);
  EXPECT_EQ(modules.modules[1].rank, 3);
}

}  // namespace
}  // namespace slora
