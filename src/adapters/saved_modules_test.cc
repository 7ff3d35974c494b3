#include "adapters/saved_modules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/testing/family_import.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

LoraFixture replacing(const std::string& type, const std::string& members = "") {
  LoraFixture fixture;
  fixture.config = R"({"peft_type": ")" + type + "\"" + members + "}";
  return fixture;
}

TEST(SavedModules, TakesTrainedCopiesOfNormsAndOfTheEmbedding) {
  LoraFixture fixture = replacing("LN_TUNING", R"(, "target_modules": ["input_layernorm", "embed_tokens"])");
  fixture.add("model.layers.1.input_layernorm.ln_tuning_layers.weight", {48});
  fixture.add("model.layers.0.input_layernorm.ln_tuning_layers.default.weight", {48});
  fixture.add("model.embed_tokens.ln_tuning_layers.weight", {100, 48});
  fixture.add("model.embed_tokens.base_layer.weight", {100, 48});
  const AdapterPlan plan = import_adapter(fixture).value();
  EXPECT_THAT(plan.warnings, IsEmpty());
  ASSERT_EQ(plan.records.size(), 3u);
  std::vector<int> sources;
  for (const AdapterRecord& record : plan.records) {
    EXPECT_EQ(record.parts.size(), 1u);
    sources.push_back(static_cast<int>(record.parts[0].source.value));
  }
  EXPECT_THAT(sources, ::testing::UnorderedElementsAre(0, 1, 2));
}

TEST(SavedModules, TakesRowsOfListedTokensOfEveryModule) {
  LoraFixture fixture = replacing("TRAINABLE_TOKENS", R"(, "token_indices": [7, 99], "target_modules": ["embed_tokens", "lm_head"])");
  fixture.add("model.embed_tokens.trainable_tokens_delta", {2, 48}).add("lm_head.trainable_tokens_delta.default", {2, 48});
  const AdapterPlan plan = import_adapter(fixture).value();
  ASSERT_EQ(plan.records.size(), 2u);
  for (const AdapterRecord& record : plan.records) {
    EXPECT_EQ(record.find(PartKind::rows)->slice, (SourceSlice{0, 2, 0, 48}));
    EXPECT_THAT(derived_values(fixture, plan, record, PartKind::row_ids), ElementsAre(7, 99));
  }
}

// On a base with tied embeddings PEFT saves one parameter twice.
TEST(SavedModules, TakesTheRowsOfTiedEmbeddingsOnce) {
  ModuleTable tied = test_modules();
  tied.ties_embeddings = true;
  const auto records_of = [&](bool same) -> Result<std::size_t> {
    LoraFixture fixture;
    fixture.add("model.embed_tokens.trainable_tokens_delta", {2, 48}).add("lm_head.trainable_tokens_delta", {2, 48});
    if (same) fixture.tensors[1].bytes = fixture.tensors[0].bytes;
    const TemporaryFolder folder;
    fixture.write(folder.path());
    const SafetensorsFile file = SafetensorsFile::open(folder.file("adapter_model.safetensors")).value();
    AdapterConfig config;
    config.family = AdapterFamily::trainable_tokens;
    config.token_indices = {5, 6};
    Result<AdapterModules> modules = read_family_modules(config, file.tensors(), {.rank_max = 8, .modules = &tied, .file = &file});
    if (!modules) return forward_error(modules);
    return import_modules(std::move(*modules), config, tied).value().records.size();
  };
  EXPECT_EQ(records_of(true).value(), 2u);
  ASSERT_FALSE(records_of(false));
  EXPECT_EQ(records_of(false).error().code, "E_UNSUPPORTED_OPTION");
  EXPECT_THAT(records_of(false).error().message, AllOf(HasSubstr("lm_head"), HasSubstr("embed_tokens")));
}

TEST(SavedModules, RefusesWhatReplacesNoServedWeight) {
  LoraFixture linear = replacing("LN_TUNING");
  linear.add("model.layers.0.self_attn.q_proj.ln_tuning_layers.weight", {48, 48});
  EXPECT_THAT(refusal_of(linear), AllOf(StartsWith("E_UNSUPPORTED_OPTION"), HasSubstr("q_proj")));
  LoraFixture copy = replacing("LN_TUNING");
  copy.add("model.embed_tokens.base_layer.weight", {100, 48});
  EXPECT_THAT(refusal_of(copy), AllOf(StartsWith("E_PAIR"), HasSubstr("ln_tuning_layers")));
  LoraFixture norm = replacing("TRAINABLE_TOKENS", R"(, "token_indices": [7, 9])");
  norm.add("model.norm.trainable_tokens_delta", {2, 48});
  EXPECT_THAT(refusal_of(norm), StartsWith("E_SHAPE"));
}

// What PEFT saves besides the family's own tensors.
TEST(SavedModules, AreNextToTensorsOfAllFamilies) {
  const std::string q = "model.layers.0.self_attn.q_proj.";
  const auto with_saved = [](LoraFixture fixture) {
    fixture.add("model.norm.weight", {48}).add("lm_head.weight", {100, 48}).add("model.embed_tokens.weight", {100, 48});
    const Result<AdapterPlan> plan = import_adapter(fixture);
    EXPECT_TRUE(plan) << (plan ? "" : plan.error().message);
    return plan ? plan->records.size() : 0;
  };
  EXPECT_EQ(with_saved(replacing("IA3").add(q + "ia3_l", {1, 48})), 4u);
  EXPECT_EQ(
      with_saved(replacing("VERA", R"(, "r": 2, "save_projection": false)").add(q + "vera_lambda_b", {48}).add(q + "vera_lambda_d", {2})),
      4u);
  EXPECT_EQ(with_saved(replacing("HIRA", R"(, "r": 2)").add(q + "hira_A", {2, 48}).add(q + "hira_B", {48, 2})), 4u);
  EXPECT_EQ(with_saved(replacing("FLORA", R"(, "r": 2)").add(q + "flora_A", {2, 48}).add(q + "flora_B", {48, 2})), 4u);
  EXPECT_EQ(with_saved(replacing("ADALORA", R"(, "init_r": 2, "lora_alpha": 3)")
                           .add(q + "lora_A", {2, 48})
                           .add(q + "lora_B", {48, 2})
                           .add(q + "lora_E", {2, 1})),
            4u);
}

void expect_saved_refused(const LoraFixture& fixture, const std::string& code, const std::vector<std::string>& mentions) {
  const std::string refusal = refusal_of(fixture);
  EXPECT_THAT(refusal, StartsWith(code + ": "));
  for (const std::string& mention : mentions) EXPECT_THAT(refusal, HasSubstr(mention));
}

std::vector<SiteKind> site_kinds_of(const AdapterPlan& plan) {
  std::vector<SiteKind> kinds;
  for (const AdapterRecord& record : plan.records) kinds.push_back(record.site.kind);
  return kinds;
}

TEST(SavedModules, TakesWeightsOfNormsTheEmbeddingAndTheHead) {
  LoraFixture fixture;
  fixture.add_pair("model.layers.0.self_attn.q_proj", 4, 48, 48);
  fixture.add("model.layers.1.input_layernorm.weight", {48});
  fixture.add("model.layers.0.post_attention_layernorm.weight", {48});
  fixture.add("model.norm.weight", {48});
  fixture.add("model.embed_tokens.weight", {100, 48});
  fixture.add("lm_head.weight", {100, 48});
  const AdapterPlan plan = import_adapter(fixture).value();
  EXPECT_THAT(site_kinds_of(plan), ElementsAre(SiteKind::qkv, SiteKind::head, SiteKind::mlp_norm, SiteKind::output_norm,
                                               SiteKind::embedding, SiteKind::attention_norm));
  EXPECT_TRUE(std::ranges::none_of(plan.records, [](const AdapterRecord& record) { return record.find(PartKind::row_ids) != nullptr; }));
}

TEST(SavedModules, TakesRowsOfTheTokensThatTheConfigLists) {
  LoraFixture fixture = small_lora();
  fixture.config =
      R"({"peft_type": "LORA", "r": 4, "lora_alpha": 6, "trainable_token_indices": {"embed_tokens": [7, 3], "lm_head": [99]}})";
  fixture.add("model.embed_tokens.token_adapter.trainable_tokens_delta", {2, 48});
  fixture.add("lm_head.token_adapter.trainable_tokens_delta", {1, 48});
  const AdapterPlan plan = import_adapter(fixture).value();
  const auto of = [&](SiteKind kind) {
    return *std::ranges::find(plan.records, kind, [](const auto& record) { return record.site.kind; });
  };
  for (const auto& [kind, count] : {std::pair(SiteKind::embedding, 2), std::pair(SiteKind::head, 1)}) {
    EXPECT_EQ(of(kind).find(PartKind::rows)->slice, (SourceSlice{0, count, 0, 48}));
    EXPECT_EQ(of(kind).find(PartKind::row_ids)->slice, (SourceSlice{0, 1, 0, count}));
  }
}

TEST(SavedModules, TakesRowsOfTokensAfterTheBases) {
  LoraFixture fixture = small_lora();
  fixture.config =
      R"({"peft_type": "LORA", "r": 4, "lora_alpha": 6, "trainable_token_indices": {"embed_tokens": [101, 7, 100], "lm_head": [100, 3]}})";
  fixture.add("model.embed_tokens.token_adapter.trainable_tokens_delta", {3, 48});
  fixture.add("lm_head.token_adapter.trainable_tokens_delta", {2, 48});
  const AdapterPlan plan = import_adapter(fixture).value();
  EXPECT_EQ(plan.added_tokens, 2);
  EXPECT_THAT(plan.warnings, Contains(HasSubstr("the head of 1")));
  const auto of = [&](SiteKind kind) {
    return *std::ranges::find(plan.records, kind, [](const auto& record) { return record.site.kind; });
  };
  EXPECT_EQ(of(SiteKind::embedding).find(PartKind::rows)->slice, (SourceSlice{0, 3, 0, 48}));
  EXPECT_EQ(of(SiteKind::embedding).find(PartKind::added_rows), nullptr);
  EXPECT_EQ(of(SiteKind::head).find(PartKind::rows)->slice, (SourceSlice{0, 1, 0, 48}));
  EXPECT_EQ(of(SiteKind::head).find(PartKind::added_rows)->slice, (SourceSlice{0, 1, 0, 48}));
}

TEST(SavedModules, LeavesOutTheCopiesThatPeftSavesOfGrownVocabularies) {
  LoraFixture fixture = small_lora();
  for (const char* name : {"model.embed_tokens", "lm_head"}) {
    fixture.add(std::string(name) + ".weight", {103, 48});
    fixture.add(std::string(name) + ".modules_to_save.weight", {103, 48});
    fixture.add(std::string(name) + ".original_module.weight", {103, 48});
  }
  const AdapterPlan plan = import_adapter(fixture).value();
  EXPECT_EQ(plan.added_tokens, 3);
  LoraFixture alone = small_lora();
  alone.add("lm_head.modules_to_save.weight", {100, 48});
  expect_saved_refused(alone, "E_UNKNOWN_MODULE", {"lm_head.modules_to_save"});
}

TEST(SavedModules, RefusesReplacedWeightsThatFitNoPlaceOfTheBase) {
  const auto with = [](const std::string& name, std::vector<std::int64_t> shape, const std::string& tokens = "null") {
    LoraFixture fixture = small_lora();
    fixture.config = R"({"peft_type": "LORA", "r": 4, "lora_alpha": 6, "trainable_token_indices": )" + tokens + "}";
    fixture.add(name, std::move(shape));
    return fixture;
  };
  const std::string rows = "model.embed_tokens.token_adapter.trainable_tokens_delta";
  expect_saved_refused(with("model.layers.0.self_attn.q_proj.weight", {48, 48}), "E_UNSUPPORTED_OPTION", {"q_proj", "modules_to_save"});
  expect_saved_refused(with("model.norm.weight", {47}), "E_SHAPE", {"model.norm", "48"});
  expect_saved_refused(with("model.norm.weight", {48, 48}), "E_SHAPE", {"model.norm"});
  expect_saved_refused(with("model.embed_tokens.weight", {100}), "E_UNSUPPORTED_OPTION", {"model.embed_tokens"});
  expect_saved_refused(with("model.embed_tokens.weight", {90, 48}), "E_SHAPE", {"model.embed_tokens", "100", "90"});
  expect_saved_refused(with("lm_head.weight", {130, 48}), "E_VOCAB", {"0", "30", "100"});
  expect_saved_refused(with("model.embed_tokens.weight", {100 + 8193, 48}), "E_VOCAB", {"model.embed_tokens", "8192", "8293"});
  expect_saved_refused(with("model.embed_tokens.weight", {100, 47}), "E_SHAPE", {"model.embed_tokens", "48"});
  expect_saved_refused(with("lm_head.weight", {100, 47}), "E_SHAPE", {"lm_head", "48", "47"});
  expect_saved_refused(with("model.layers.0.input_layer_norm.weight", {48}), "E_UNKNOWN_MODULE", {"\"model.layers.0.input_layernorm\""});
  expect_saved_refused(with(rows, {2, 48}), "E_PAIR", {"trainable_token_indices"});
  expect_saved_refused(with(rows, {2, 48}, "[5]"), "E_INDEX", {"1 rows", "[2, 48]"});
  expect_saved_refused(with(rows, {2, 48}, "[5, 101]"), "E_INDEX", {"100", "101"});
  expect_saved_refused(with(rows, {2, 48}, "[5, 5]"), "E_INDEX", {"twice"});
  expect_saved_refused(with(rows, {2, 48}, "[5, -1]"), "E_INDEX", {"trainable_token_indices"});
}

}  // namespace
}  // namespace slora
