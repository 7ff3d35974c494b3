#include "adapters/adalora_modules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/testing/family_import.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr const char* kAdaloraQ = "model.layers.0.self_attn.q_proj";
constexpr const char* kAdaloraDown = "model.layers.1.mlp.down_proj";

// init_r 4.
LoraFixture adalora(const std::string& members = "") {
  LoraFixture fixture;
  fixture.config = R"({"peft_type": "ADALORA", "init_r": 4, "lora_alpha": 6, "r": 8)" + members + "}";
  return fixture;
}

LoraFixture& add_triplets(LoraFixture& fixture, const std::string& module, std::int64_t rank, std::int64_t in, std::int64_t out,
                          const std::string& end = "") {
  fixture.add(module + ".lora_A" + end, {rank, in}).add(module + ".lora_B" + end, {out, rank}).add(module + ".lora_E" + end, {rank, 1});
  return fixture;
}

std::string masks(const std::string& module, const std::string& mask) {
  return R"(, "rank_pattern": {")" + module + R"(.lora_E": )" + mask + "}";
}

TEST(AdaloraModules, FoldsTheSingularValuesIntoA) {
  LoraFixture fixture = adalora();
  add_triplets(fixture, kAdaloraQ, 4, 48, 48);
  const AdapterPlan plan = import_adapter(fixture).value();
  EXPECT_THAT(plan.warnings, IsEmpty());
  ASSERT_EQ(plan.records.size(), 1u);
  const AdapterRecord& record = plan.records[0];
  EXPECT_EQ(record.rank, 4);
  EXPECT_EQ(record.scale, 6.0f / (4.0f + 1e-5f));
  EXPECT_FALSE(record.is_general());
  EXPECT_EQ(record.parts.size(), 2u);
  EXPECT_EQ(tensor_of(record, PartKind::b), 1);
  std::vector<float> expected = numbers_of(fixture.tensors[0]);
  const std::vector<float> factors = numbers_of(fixture.tensors[2]);
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] *= factors[i / 48];
  EXPECT_EQ(derived_values(fixture, plan, record, PartKind::a), expected);
  EXPECT_THAT(plan.derived[0]->sources(), ElementsAre(fixture.tensors[0].name, fixture.tensors[2].name));
}

TEST(AdaloraModules, ReadsRawNames) {
  LoraFixture fixture = adalora(R"(, "rank_pattern": {"model.layers.0.self_attn.q_proj.lora_E.default": [true, false, true, true]})");
  add_triplets(fixture, kAdaloraQ, 3, 48, 48, ".default");
  EXPECT_EQ(refusal_of(fixture), "served");
}

TEST(AdaloraModules, DividesByTheRankBeforePruning) {
  LoraFixture fixture = adalora(masks(kAdaloraQ, "[true, false, false, true]"));
  add_triplets(fixture, kAdaloraQ, 2, 48, 48);
  EXPECT_EQ(import_adapter(fixture).value().records[0].scale, 6.0f / (4.0f + 1e-5f));
  for (const char* alpha : {"0", "-3"}) {  // then PEFT takes the rank that is left
    fixture.config = R"({"peft_type": "ADALORA", "init_r": 4, "lora_alpha": )" + std::string(alpha) +
                     masks(kAdaloraQ, "[true, false, false, true]") + "}";
    EXPECT_EQ(import_adapter(fixture).value().records[0].scale, 2.0f / (4.0f + 1e-5f));
  }
  fixture.config = R"({"peft_type": "ADALORA", "lora_alpha": 6})";
  LoraFixture of_default = adalora();
  of_default.config = fixture.config;
  add_triplets(of_default, kAdaloraQ, 12, 48, 48);
  EXPECT_EQ(import_adapter(of_default).value().records[0].scale, 6.0f / (12.0f + 1e-5f));
}

TEST(AdaloraModules, LeavesOutModulesThatArePrunedToNothing) {
  LoraFixture fixture = adalora(R"(, "bias": "lora_only", "rank_pattern": {
      "model.layers.0.self_attn.q_proj.lora_E": [false, false, false, false],
      "model.layers.1.self_attn.q_proj.lora_E": [false, false, false, false]})");
  add_triplets(fixture, kAdaloraQ, 0, 48, 48);
  add_triplets(fixture, "model.layers.1.self_attn.q_proj", 0, 48, 48);
  fixture.add("model.layers.1.self_attn.q_proj.base_layer.bias", {48});
  add_triplets(fixture, kAdaloraDown, 4, 80, 48);
  const AdapterPlan plan = import_adapter(fixture).value();
  ASSERT_EQ(plan.records.size(), 2u);
  EXPECT_EQ(plan.records[0].site, (Site{1, SiteKind::qkv}));
  EXPECT_EQ(plan.records[0].rank, 0);
  EXPECT_EQ(plan.records[0].parts.size(), 1u);
  EXPECT_NE(plan.records[0].find(PartKind::bias_replacing), nullptr);
  EXPECT_EQ(plan.records[1].rank, 4);

  LoraFixture all_pruned = adalora(masks(kAdaloraQ, "[false, false, false, false]"));
  add_triplets(all_pruned, kAdaloraQ, 0, 48, 48);
  EXPECT_THAT(refusal_of(all_pruned), AllOf(StartsWith("E_EMPTY"), HasSubstr("changes nothing")));
}

TEST(AdaloraModules, ChecksPrunedModulesAgainstTheBase) {
  const auto refusal = [](const std::string& module, std::int64_t in, std::int64_t out) {
    LoraFixture fixture = adalora(masks(module, "[false, false, false, false]"));
    add_triplets(fixture, kAdaloraDown, 4, 80, 48);
    return refusal_of(add_triplets(fixture, module, 0, in, out));
  };
  EXPECT_EQ(refusal(kAdaloraQ, 48, 48), "served");
  EXPECT_THAT(refusal(kAdaloraQ, 47, 48), AllOf(StartsWith("E_SHAPE"), HasSubstr(kAdaloraQ)));
  EXPECT_THAT(refusal(kAdaloraQ, 48, 24), AllOf(StartsWith("E_SHAPE"), HasSubstr(kAdaloraQ)));
  EXPECT_THAT(refusal("model.layers.5.self_attn.q_proj", 48, 48), StartsWith("E_UNKNOWN_MODULE"));
}

TEST(AdaloraModules, HoldsRanksToTheMasks) {
  const auto refusal = [](std::int64_t rank, const std::string& members) {
    LoraFixture fixture = adalora(members);
    return refusal_of(add_triplets(fixture, kAdaloraQ, rank, 48, 48));
  };
  EXPECT_THAT(refusal(3, ""), AllOf(StartsWith("E_RANK"), HasSubstr("expected rank 4"), HasSubstr("[3, 48]")));
  EXPECT_THAT(refusal(0, ""), StartsWith("E_RANK"));
  EXPECT_THAT(refusal(4, masks(kAdaloraQ, "[true, true, true, false]")), AllOf(StartsWith("E_RANK"), HasSubstr("expected rank 3")));
  EXPECT_THAT(refusal(4, masks(kAdaloraQ, "[true, true, true, true, true]")), AllOf(StartsWith("E_RANK"), HasSubstr("init_r")));
  LoraFixture large = adalora();
  large.config = R"({"peft_type": "ADALORA", "init_r": 600, "lora_alpha": 6})";
  EXPECT_THAT(refusal_of(add_triplets(large, kAdaloraQ, 600, 48, 48)), AllOf(StartsWith("E_RANK"), HasSubstr("limit of 512")));
}

TEST(AdaloraModules, WarnsOfKeptRanksWithoutWeights) {
  LoraFixture fixture = adalora(masks(kAdaloraDown, "[true, true, false, false]"));
  add_triplets(fixture, kAdaloraQ, 4, 48, 48);
  EXPECT_THAT(import_adapter(fixture).value().warnings, ElementsAre(AllOf(HasSubstr("rank_pattern"), HasSubstr(kAdaloraDown))));
}

TEST(AdaloraModules, WantsTripletsWhole) {
  for (const char* missing : {"lora_A", "lora_B", "lora_E"}) {
    LoraFixture fixture = adalora();
    add_triplets(fixture, kAdaloraQ, 4, 48, 48);
    std::erase_if(fixture.tensors, [&](const TensorToWrite& tensor) { return tensor.name.ends_with(missing); });
    EXPECT_THAT(refusal_of(fixture), AllOf(StartsWith("E_PAIR"), HasSubstr(kAdaloraQ), HasSubstr("lacks " + std::string(missing))));
  }
  LoraFixture alone = adalora();
  alone.add(std::string(kAdaloraQ) + ".lora_E", {4, 1}).add(std::string(kAdaloraQ) + ".base_layer.bias", {48});
  EXPECT_THAT(refusal_of(alone), AllOf(StartsWith("E_PAIR"), HasSubstr("lora_A and lora_B")));
}

TEST(AdaloraModules, RefusesOtherShapesTypesAndTensors) {
  const auto refusal = [](const std::string& part, std::vector<std::int64_t> shape, DType dtype = DType::f32) {
    LoraFixture fixture = adalora();
    add_triplets(fixture, kAdaloraQ, 4, 48, 48);
    const std::string name = std::string(kAdaloraQ) + "." + part;
    std::erase_if(fixture.tensors, [&](const TensorToWrite& tensor) { return tensor.name.ends_with(part); });
    fixture.add(name, std::move(shape));
    fixture.tensors.back().dtype = dtype;
    fixture.tensors.back().bytes.resize(fixture.tensors.back().bytes.size() / sizeof(float) * bytes_of(dtype));
    return refusal_of(fixture);
  };
  EXPECT_THAT(refusal("lora_E", {4}), AllOf(StartsWith("E_SHAPE"), HasSubstr("lora_E")));
  EXPECT_THAT(refusal("lora_E", {1, 4}), AllOf(StartsWith("E_SHAPE"), HasSubstr("[4, 1]")));
  EXPECT_THAT(refusal("lora_E", {3, 1}), StartsWith("E_SHAPE"));
  EXPECT_THAT(refusal("lora_E", {0, 1}), StartsWith("E_SHAPE"));
  EXPECT_THAT(refusal("lora_B", {48, 3}), StartsWith("E_RANK"));
  EXPECT_THAT(refusal("lora_B", {48, 0}), StartsWith("E_RANK"));
  EXPECT_THAT(refusal("lora_A", {4, 47}), StartsWith("E_WRONG_BASE"));
  EXPECT_THAT(refusal("lora_A", {0}), AllOf(StartsWith("E_EMPTY"), HasSubstr("ZeRO-3")));
  EXPECT_THAT(refusal("lora_A", {4, 0}), AllOf(StartsWith("E_EMPTY"), HasSubstr("ZeRO-3")));
  EXPECT_THAT(refusal("lora_E", {4, 1}, DType::i32), AllOf(StartsWith("E_DTYPE"), HasSubstr("I32")));
  EXPECT_THAT(refusal("lora_A.weight", {4, 48}), AllOf(StartsWith("E_UNKNOWN_TENSOR"), HasSubstr("an AdaLoRA adapter")));
  EXPECT_THAT(refusal("lora_B.bias", {48}), StartsWith("E_UNKNOWN_TENSOR"));
  EXPECT_THAT(refusal("lora_A.default", {4, 48}), AllOf(StartsWith("E_UNKNOWN_TENSOR"), HasSubstr("same part")));
  EXPECT_THAT(refusal("ranknum", {1}), StartsWith("E_UNKNOWN_TENSOR"));
}

TEST(AdaloraModules, RefusesAScaleThatIsNoFloat) {
  LoraFixture fixture = adalora();
  fixture.config = R"({"peft_type": "ADALORA", "init_r": 4, "lora_alpha": 1e300})";
  EXPECT_THAT(refusal_of(add_triplets(fixture, kAdaloraQ, 4, 48, 48)), AllOf(StartsWith("E_SCALE"), HasSubstr(kAdaloraQ)));
}

}  // namespace
}  // namespace slora
