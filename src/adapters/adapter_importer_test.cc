#include "adapters/adapter_importer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "adapters/adapter_image.h"
#include "adapters/family_modules.h"
#include "adapters/testing/lora_fixture.h"
#include "base/testing/source_path.h"
#include "formats/json.h"
#include "formats/model_family.h"
#include "formats/model_files.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* kFirstQ = "model.layers.0.self_attn.q_proj";
constexpr const char* kV1 = "model.layers.1.self_attn.v_proj";

Result<AdapterPlan> import(const LoraFixture& fixture, const ModuleTable& base = test_modules(), std::int64_t rank_max = 512) {
  const Result<Json> json = parse_json(fixture.config);
  if (!json) return tl::unexpected(json.error());
  const Result<AdapterConfig> config = parse_adapter_config(*json);
  if (!config) return tl::unexpected(config.error());
  std::vector<TensorInfo> tensors;
  for (const TensorToWrite& tensor : fixture.tensors) tensors.push_back({tensor.name, tensor.dtype, tensor.shape, 0, tensor.bytes.size()});
  Result<AdapterModules> modules = read_family_modules(*config, tensors, {.rank_max = rank_max, .modules = &base});
  if (!modules) return forward_error(modules);
  return import_modules(std::move(*modules), *config, base);
}

void expect_refused(const LoraFixture& fixture, const std::string& code, const std::vector<std::string>& mentions) {
  const Result<AdapterPlan> plan = import(fixture);
  ASSERT_FALSE(plan) << "expected " << code;
  EXPECT_EQ(plan.error().code, code) << plan.error().message;
  for (const std::string& mention : mentions) EXPECT_THAT(plan.error().message, HasSubstr(mention));
}

// Index of the tensor that fills a part, or -1.
int source_of(const AdapterRecord& record, PartKind kind) {
  const AdapterPart* part = record.find(kind);
  return part == nullptr ? -1 : static_cast<int>(part->source.value);
}

TEST(LoraImporter, OrdersRecordsBySiteAndAddressesTheirSlices) {
  LoraFixture fixture;
  fixture.add_pair("model.layers.1.mlp.up_proj", 4, 48, 80);
  fixture.add_pair(kV1, 4, 48, 24);
  fixture.add_pair("model.layers.0.mlp.down_proj", 4, 80, 48);
  fixture.add_pair(kFirstQ, 4, 48, 48);
  const AdapterPlan plan = import(fixture).value();
  ASSERT_EQ(plan.records.size(), 4u);
  EXPECT_EQ(plan.records[0].site, (Site{0, SiteKind::qkv}));
  EXPECT_EQ(source_of(plan.records[0], PartKind::a), 6);
  EXPECT_EQ(source_of(plan.records[0], PartKind::b), 7);
  EXPECT_EQ(plan.records[1].site, (Site{0, SiteKind::down}));
  EXPECT_EQ(plan.records[2].site, (Site{1, SiteKind::qkv}));
  EXPECT_EQ(plan.records[2].slice_begin, 48 + 24);
  EXPECT_EQ(plan.records[3].slice_begin, 80);
  EXPECT_EQ(plan.records[3].in, 48);
  EXPECT_EQ(plan.records[3].out, 80);
  EXPECT_EQ(plan.records[3].rank, 4);
  EXPECT_FLOAT_EQ(plan.records[3].scale, 1.5f);
  EXPECT_THAT(plan.warnings, IsEmpty());
}

TEST(LoraImporter, TakesRankAndScaleFromPatterns) {
  LoraFixture fixture;
  fixture.config = R"({"peft_type": "LORA", "r": 4, "lora_alpha": 6, "use_rslora": true, "peft_version": "0.18.0",
                       "rank_pattern": {"v_proj": 9}, "alpha_pattern": {"layers.1.self_attn.v_proj": 12}})";
  fixture.add_pair(kFirstQ, 4, 48, 48);
  fixture.add_pair(kV1, 9, 48, 24);
  const AdapterPlan plan = import(fixture).value();
  EXPECT_FLOAT_EQ(plan.records[0].scale, 3.0f);
  EXPECT_FLOAT_EQ(plan.records[1].scale, 4.0f);
}

TEST(LoraImporter, ReadsNamesOfRawStateDictionariesAndTrainingWrappers) {
  for (const std::string name :
       {"base_model.model.model.layers.0.self_attn.q_proj.lora_{}.default.weight",
        "module.base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight",
        "_orig_mod.module.base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight",
        "_fsdp_wrapped_module.base_model.model.model.layers.0._fsdp_wrapped_module.self_attn.q_proj.lora_{}.my_task.weight",
        "base_model.model.model.layers.0._checkpoint_wrapped_module.self_attn.q_proj.lora_{}.weight",
        "_forward_module.module.base_model.model.model.layers.0._fpw_module.self_attn.q_proj.lora_{}.weight",
        "base_model.model.base_model.model.model.layers.0.self_attn.q_proj.lora_{}.default.weight",
        "base_model.model._orig_mod.model.layers.0._orig_mod.self_attn.q_proj._orig_mod.lora_{}.weight",
        "_module.pretrained_model.base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight",
        "model.base_model.model.model.layers.0.module.self_attn.q_proj.lora_{}.default._fsdp_wrapped_module.weight"}) {
    LoraFixture fixture;
    for (const auto& [part, shape] : {std::pair("A", std::vector<std::int64_t>{4, 48}), std::pair("B", std::vector<std::int64_t>{48, 4})}) {
      fixture.add(std::string(name).replace(name.find("{}"), 2, part), shape, DType::f32, "");
    }
    const Result<AdapterPlan> plan = import(fixture);
    ASSERT_TRUE(plan) << plan.error().message;
    EXPECT_EQ(plan->records.size(), 1u);
  }
}

TEST(LoraImporter, WarnsAsPeftDoesOfModulesThatTheFileLacks) {
  const auto warnings_with = [](const std::string& members) {
    LoraFixture fixture;
    fixture.config = R"({"peft_type": "LORA", "r": 4, "lora_alpha": 6, )" + members + "}";
    fixture.add_pair(kFirstQ, 4, 48, 48);
    return import(fixture).value().warnings;
  };
  EXPECT_THAT(warnings_with(R"("target_modules": ["q_proj", "o_proj"])"),
              ElementsAre(HasSubstr("target_modules names \"o_proj\""), HasSubstr("names 1 modules for which the file holds no weights")));
  for (const char* target : {R"(["self_attn.q_proj"])", R"("all-linear")", R"(".*\\.q_proj")"}) {
    EXPECT_THAT(warnings_with(std::string("\"target_modules\": ") + target), ElementsAre(HasSubstr("(model.layers.1.self_attn.q_proj)")));
  }
  EXPECT_THAT(warnings_with(R"("target_modules": ["q_proj"], "layers_to_transform": [0])"), IsEmpty());
  EXPECT_THAT(warnings_with(R"("target_modules": ["q_proj"], "exclude_modules": ["layers.1.self_attn.q_proj"])"), IsEmpty());
  EXPECT_THAT(warnings_with(R"("target_modules": ["model.layers.0.self_attn.q_proj"])"), IsEmpty());
}

TEST(LoraImporter, LeavesOutBuffersWithAWarningAndRefusesAFileOfThemAlone) {
  LoraFixture fixture;
  fixture.add("model.layers.0.self_attn.rotary_emb.inv_freq", {4});
  EXPECT_EQ(import(fixture).error().code, "E_EMPTY");
  fixture.add_pair(kFirstQ, 4, 48, 48);
  const AdapterPlan plan = import(fixture).value();
  EXPECT_EQ(plan.records.size(), 1u);
  EXPECT_THAT(plan.warnings, ElementsAre(HasSubstr("left out 1 tensors")));
}

TEST(LoraImporter, ShowsNoFolderOfTheMachineThatTrained) {
  LoraFixture fixture;
  fixture.config = R"({"peft_type": "LORA", "r": 4, "lora_alpha": 6, "base_model_name_or_path": "/home/someone/models/llama-x/"})";
  fixture.add_pair(kFirstQ, 4, 47, 48);
  const Result<AdapterPlan> plan = import(fixture);
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().message, AllOf(HasSubstr("\"llama-x\""), Not(HasSubstr("someone"))));
}

TEST(LoraImporter, AddsTheBiasOfBAndReplacesTheBasesBias) {
  LoraFixture fixture;
  fixture.config = R"({"peft_type": "LORA", "r": 4, "lora_alpha": 6, "lora_bias": true, "bias": "lora_only"})";
  fixture.add_pair(kFirstQ, 4, 48, 48);
  fixture.add(std::string(kFirstQ) + ".lora_B.bias", {48});
  fixture.add(std::string(kFirstQ) + ".base_layer.bias", {48});
  fixture.add(std::string(kV1) + ".bias", {24});  // of a module without A and B
  const AdapterPlan plan = import(fixture).value();
  ASSERT_EQ(plan.records.size(), 2u);
  EXPECT_EQ(source_of(plan.records[0], PartKind::bias_added), 2);
  EXPECT_EQ(source_of(plan.records[0], PartKind::bias_replacing), 3);
  EXPECT_EQ(plan.records[1].rank, 0);
  EXPECT_EQ(source_of(plan.records[1], PartKind::bias_replacing), 4);
  EXPECT_THAT(plan.warnings, IsEmpty());
}

TEST(LoraImporter, WarnsOfBiasesThatPeftLost) {
  LoraFixture fixture = small_lora();
  fixture.config = R"({"peft_type": "LORA", "r": 4, "lora_alpha": 6, "bias": "lora_only"})";
  EXPECT_THAT(import(fixture).value().warnings, ElementsAre(HasSubstr("lora_only")));
}

TEST(LoraImporter, RefusesBiasAllThatLacksABias) {
  LoraFixture fixture = small_lora();
  fixture.config = R"({"peft_type": "LORA", "r": 4, "lora_alpha": 6, "bias": "all"})";
  expect_refused(fixture, "E_PAIR", {"q_proj", "bias"});
}

TEST(LoraImporter, RefusesAStoredBiasWhereTheBaseHasNone) {
  LoraFixture fixture = small_lora();
  fixture.add("model.layers.1.mlp.down_proj.base_layer.bias", {48});
  expect_refused(fixture, "E_SHAPE", {"layers.1.mlp.down_proj", "no bias"});
}

// Without the base's files nothing can be compared with it.
TEST(LoraImporter, ServesTheHeadButNotACopyOfItsWeightThatMayDiffer) {
  LoraFixture fixture;
  fixture.add_pair("lm_head", 4, 48, 100);
  EXPECT_EQ(import(fixture).value().records[0].site.kind, SiteKind::head);
  fixture.add("lm_head.base_layer.weight", {100, 48});
  expect_refused(fixture, "E_UNSUPPORTED_OPTION", {"lm_head", "save_embedding_layers"});
}

TEST(LoraImporter, WarnsOfWeightsThatTheConfigDoesNotTarget) {
  LoraFixture fixture = small_lora();
  const auto with_targets = [&](const std::string& targets) {
    fixture.config = R"({"peft_type": "LORA", "r": 4, "lora_alpha": 6, "target_modules": )" + targets + "}";
    std::vector<std::string> warnings = import(fixture).value().warnings;
    std::erase_if(warnings, [](const std::string& warning) { return warning.find("the file holds weights") == std::string::npos; });
    return warnings;
  };
  EXPECT_THAT(with_targets(R"(["q_proj"])"), ElementsAre(AllOf(HasSubstr("down_proj"), HasSubstr("target_modules"))));
  EXPECT_THAT(with_targets(R"(["proj", "layers.0.self_attn.q_proj"])"), ElementsAre(HasSubstr("down_proj")));
  for (const char* members : {R"(["q_proj", "down_proj"], "layers_to_transform": [0])",
                              R"(["q_proj", "down_proj"], "layers_to_transform": 0)", R"("all-linear", "exclude_modules": ["down_proj"])",
                              R"("all-linear", "exclude_modules": ".*layers\\.1.*")", R"(".*self_attn.*")"}) {
    EXPECT_THAT(with_targets(members), ElementsAre(AllOf(HasSubstr("\"model.layers.1.mlp.down_proj\""), Not(HasSubstr("q_proj")))))
        << members;
  }
  for (const char* targets : {R"(["q_proj", "down_proj", "k_proj"])", R"(["model.layers.0.self_attn.q_proj", "mlp.down_proj"])",
                              R"("all-linear")", R"(".*(q|down)_proj")", "null"}) {
    EXPECT_THAT(with_targets(targets), IsEmpty()) << targets;
  }
}

TEST(LoraImporter, TakesLoraOfTheEmbeddingByItsOwnNamesOnly) {
  const auto with = [](const std::string& path, const std::string& a, const std::string& b, std::int64_t in, std::int64_t out) {
    LoraFixture fixture = small_lora();
    fixture.add(path + a, {4, in});
    fixture.add(path + b, {out, 4});
    return fixture;
  };
  const std::string embedding = "model.embed_tokens.";
  const AdapterPlan plan = import(with(embedding, "lora_embedding_A", "lora_embedding_B", 100, 48)).value();
  EXPECT_TRUE(
      std::ranges::any_of(plan.records, [](const AdapterRecord& record) { return record.site == kEmbeddingSite && record.rank == 4; }));
  expect_refused(with(embedding, "lora_A.weight", "lora_B.weight", 100, 48), "E_UNSUPPORTED_OPTION", {"embed_tokens", "lora_embedding_A"});
  expect_refused(with("model.layers.0.self_attn.o_proj.", "lora_embedding_A", "lora_embedding_B", 48, 48), "E_UNKNOWN_TENSOR", {"o_proj"});
  LoraFixture biased = with(embedding, "lora_embedding_A", "lora_embedding_B", 100, 48);
  biased.add("model.embed_tokens.base_layer.bias", {48});
  expect_refused(biased, "E_UNSUPPORTED_OPTION", {"embed_tokens"});
}

// PEFT would apply them to all tokens, also to those before the invocation.
TEST(LoraImporter, RefusesActivatedAdaptersWithOtherWeights) {
  LoraFixture fixture = small_lora();
  fixture.config = R"({"peft_type": "LORA", "r": 4, "lora_alpha": 6, "alora_invocation_tokens": [5], "modules_to_save": ["norm"]})";
  EXPECT_TRUE(import(fixture));
  fixture.add("model.norm.weight", {48});
  expect_refused(fixture, "E_UNSUPPORTED_OPTION", {"alora_invocation_tokens"});
  fixture.config = R"({"peft_type": "LORA", "r": 4, "lora_alpha": 6, "alora_invocation_tokens": [5], "use_dora": true})";
  expect_refused(fixture, "E_UNSUPPORTED_OPTION", {"alora_invocation_tokens", "use_dora"});
}

TEST(LoraImporter, RefusesAVectorAsTheWeightOfALinearModule) {
  LoraFixture fixture = small_lora();
  fixture.config = R"({"peft_type": "LORA", "r": 4, "lora_alpha": 6, "use_dora": true})";
  fixture.add("model.layers.0.self_attn.q_proj.weight", {48});
  expect_refused(fixture, "E_SHAPE", {"q_proj.weight", "two dimensions"});
}

TEST(LoraImporter, WarnsOfModulesToSaveThatTheFileLacks) {
  LoraFixture fixture = small_lora();
  fixture.config = R"({"peft_type": "LORA", "r": 4, "lora_alpha": 6, "modules_to_save": ["norm"]})";
  EXPECT_THAT(import(fixture).value().warnings, ElementsAre(HasSubstr("modules_to_save")));
  fixture.add("model.layers.0.input_layernorm.weight", {48});
  EXPECT_THAT(import(fixture).value().warnings, IsEmpty());
}

TEST(LoraImporter, ListsTheFirstTensorsItDoesNotKnow) {
  LoraFixture fixture = small_lora();
  for (int i = 0; i < 12; ++i) fixture.add("model.layers.0.self_attn.q_proj.lora_C" + std::to_string(i) + ".weight", {4});
  const Result<AdapterPlan> plan = import(fixture);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, "E_UNKNOWN_TENSOR");
  EXPECT_THAT(plan.error().message,
              AllOf(HasSubstr("12 of"), HasSubstr("lora_C0"), HasSubstr("lora_C9"), Not(HasSubstr("lora_C10")), HasSubstr("2 more")));
}

TEST(LoraImporter, RefusesNamesWithoutThePeftPrefix) {
  LoraFixture fixture;
  fixture.add(std::string(kFirstQ) + ".lora_A.weight", {4, 48}, DType::f32, "");
  fixture.add(std::string(kFirstQ) + ".lora_B.weight", {48, 4}, DType::f32, "");
  expect_refused(fixture, "E_UNKNOWN_TENSOR", {"base_model.model."});
}

TEST(LoraImporter, RefusesTwoTensorsForOnePart) {
  LoraFixture fixture = small_lora();
  fixture.add(std::string(kFirstQ) + ".lora_A.other.weight", {4, 48});
  expect_refused(fixture, "E_UNKNOWN_TENSOR", {"lora_A.weight", "lora_A.other.weight"});
}

TEST(LoraImporter, RefusesAModuleUnderTwoOfItsNames) {
  ModuleTable base = test_modules();
  base.family = Family::gemma3;
  const FamilyTensors& names = *traits_of(base.family).tensors;
  for (ModuleEntry& entry : base.modules) entry.path = names.canonical(entry.path);
  ASSERT_NE(names.canonical(kFirstQ), kFirstQ);
  LoraFixture fixture = small_lora();
  EXPECT_TRUE(import(fixture, base));
  fixture.add_pair(names.canonical(kFirstQ), 4, 48, 48);
  const Result<AdapterPlan> plan = import(fixture, base);
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().message, ::testing::AllOf(HasSubstr(kFirstQ), HasSubstr("expected the base's module"), HasSubstr("once")));
}

TEST(LoraImporter, SuggestsTheNearestModule) {
  LoraFixture fixture = small_lora();
  fixture.add_pair("model.layers.0.self_attn.vv_proj", 4, 48, 24);
  expect_refused(fixture, "E_UNKNOWN_MODULE", {"vv_proj", "\"model.layers.0.self_attn.v_proj\""});
  LoraFixture prefixed;
  prefixed.add_pair("text.model.layers.0.self_attn.v_proj", 4, 48, 24);
  expect_refused(prefixed, "E_UNKNOWN_MODULE", {"prefix"});
}

TEST(LoraImporter, TellsAnotherBaseFromAWrongShape) {
  LoraFixture fixture;
  fixture.config = R"({"peft_type": "LORA", "r": 4, "lora_alpha": 6, "base_model_name_or_path": "maker/model"})";
  fixture.add_pair(kFirstQ, 4, 64, 64);
  fixture.add_pair(kV1, 4, 64, 32);
  expect_refused(fixture, "E_WRONG_BASE", {"64", "48", "maker/model"});
  fixture.add_pair("model.layers.1.self_attn.q_proj", 4, 48, 48);
  expect_refused(fixture, "E_SHAPE", {kFirstQ, "64", "48"});
}

TEST(LoraImporter, HoldsRanksToTheFileTheConfigAndTheServer) {
  LoraFixture fixture;
  fixture.add(std::string(kFirstQ) + ".lora_A.weight", {4, 48});
  fixture.add(std::string(kFirstQ) + ".lora_B.weight", {48, 5});
  expect_refused(fixture, "E_RANK", {kFirstQ});
  LoraFixture other_rank;
  other_rank.add_pair(kFirstQ, 5, 48, 48);
  expect_refused(other_rank, "E_RANK", {kFirstQ, "4", "5"});
  const Result<AdapterPlan> over_limit = import(small_lora(), test_modules(), 3);
  ASSERT_FALSE(over_limit);
  EXPECT_EQ(over_limit.error().code, "E_RANK");
  EXPECT_THAT(over_limit.error().message, HasSubstr("limit of 3"));
}

TEST(LoraImporter, WantsPairsWhole) {
  LoraFixture fixture = small_lora();
  fixture.add(std::string(kV1) + ".lora_A.weight", {4, 48});
  expect_refused(fixture, "E_PAIR", {kV1, "lora_B"});
  LoraFixture bias = small_lora();
  bias.add(std::string(kFirstQ) + ".lora_B.bias", {48});
  expect_refused(bias, "E_PAIR", {kFirstQ, "lora_bias"});
  LoraFixture no_bias = small_lora();
  no_bias.config = R"({"peft_type": "LORA", "r": 4, "lora_alpha": 6, "lora_bias": true})";
  expect_refused(no_bias, "E_PAIR", {kFirstQ, "lora_bias"});
}

TEST(LoraImporter, RefusesAScaleThatIsNoFloat) {
  LoraFixture fixture = small_lora();
  fixture.config = R"({"peft_type": "LORA", "r": 4, "lora_alpha": 1e300})";
  expect_refused(fixture, "E_SCALE", {"q_proj"});
}

TEST(LoraImporter, RefusesEmptyTensorsAndFilesWithAHint) {
  LoraFixture fixture = small_lora();
  fixture.add(std::string(kV1) + ".lora_A.weight", {0});
  expect_refused(fixture, "E_EMPTY", {kV1, "ZeRO-3"});
  expect_refused(LoraFixture{}, "E_EMPTY", {"ZeRO-3"});
}

std::shared_ptr<const ModelFiles> files_of(const std::filesystem::path& model) {
  return std::make_shared<const ModelFiles>(ModelFiles::open(model.string()).value());
}

// Every folder of tests/golden/refused has one fault, which loading must find and name.
TEST(LoraImporter, RefusesWhatTheGoldenFoldersGetWrong) {
  const std::filesystem::path golden = source_path("tests/golden");
  const ModelConfig model = read_model_config((golden / "mix32").string()).value();
  const AdapterBase base{.modules = make_module_table(model),
                         .format = {DType::bf16, 2},
                         .page_bytes = 4096,
                         .weights = files_of(golden / "mix32"),
                         .extended_positions_max = 1024};
  int count = 0;
  for (const auto& folder : std::filesystem::directory_iterator(golden / "refused")) {
    SCOPED_TRACE(folder.path().filename().string());
    const Json expected = read_json_file((folder.path() / "expected.json").string()).value();
    Result<PreparedAdapter> adapter = prepare_adapter(FolderPath(folder.path().string()), base);
    Error found;
    if (adapter) {
      Gate gate;
      const Result<Sha256Digest> written = verify_adapter(*adapter, gate);
      ASSERT_FALSE(written) << "served";
      found = written.error();
    } else {
      found = adapter.error();
    }
    EXPECT_EQ(found.code, expected["code"].get<std::string>()) << found.message;
    for (const Json& mention : expected["mentions"]) EXPECT_THAT(found.message, HasSubstr(mention.get<std::string>()));
    EXPECT_THAT(found.message, Not(HasSubstr(golden.string()))) << "a path of this machine in a message that clients see";
    ++count;
  }
  EXPECT_GT(count, 50);
}

TEST(LoraImporter, TakesEveryGoldenAdapter) {
  const std::filesystem::path golden = source_path("tests/golden");
  int count = 0;
  for (const auto& model : std::filesystem::directory_iterator(golden)) {
    if (!std::filesystem::exists(model.path() / "adapters")) continue;
    const ModelConfig config = read_model_config(model.path().string()).value();
    const AdapterBase base{.modules = make_module_table(config),
                           .format = {DType::bf16, 2},
                           .page_bytes = 4096,
                           .weights = files_of(model.path()),
                           .extended_positions_max = 1024};
    for (const auto& folder : std::filesystem::directory_iterator(model.path() / "adapters")) {
      const Result<PreparedAdapter> adapter = prepare_adapter(FolderPath(folder.path().string()), base);
      ASSERT_TRUE(adapter) << folder.path() << ": " << adapter.error().message;
      Gate gate;
      const Result<Sha256Digest> written = verify_adapter(*adapter, gate);
      EXPECT_TRUE(written) << folder.path() << ": " << written.error().message;
      ++count;
    }
  }
  EXPECT_GT(count, 60);
}

}  // namespace
}  // namespace slora
