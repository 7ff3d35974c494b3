#include "adapters/ia3_modules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/testing/family_import.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr const char* kIa3V = "model.layers.0.self_attn.v_proj";
constexpr const char* kIa3Down = "model.layers.1.mlp.down_proj";

LoraFixture ia3(const std::string& members = R"(, "feedforward_modules": ["down_proj"])") {
  LoraFixture fixture;
  fixture.config = R"({"peft_type": "IA3", "target_modules": ["v_proj", "down_proj"])" + members + "}";
  return fixture;
}

std::shared_ptr<const ModelFiles> base_with_bias(const TemporaryFolder& folder, std::int64_t count = 24) {
  LoraFixture base;
  base.add(std::string(kIa3V) + ".bias", {count}, DType::bf16, "");
  check(write_safetensors(folder.file("model.safetensors"), base.tensors).has_value(), "expected to write the base");
  return std::make_shared<const ModelFiles>(ModelFiles::open(folder.path()).value());
}

TEST(Ia3Modules, MultipliesOutputsAndTheirBiasOrInputs) {
  LoraFixture fixture = ia3();
  fixture.add(std::string(kIa3V) + ".ia3_l", {24, 1}).add(std::string(kIa3Down) + ".ia3_l", {1, 80}, DType::f16);
  const TemporaryFolder folder;
  const std::shared_ptr<const ModelFiles> base = base_with_bias(folder);
  const AdapterPlan plan = import_adapter(fixture, base).value();
  EXPECT_THAT(plan.warnings, ::testing::ElementsAre(HasSubstr("names 2 modules for which the file holds no weights")));
  ASSERT_EQ(plan.records.size(), 2u);

  const AdapterRecord& value = plan.records[0];
  EXPECT_EQ(value.slice_begin, 48 + 24);
  EXPECT_EQ(value.rank, 0);
  EXPECT_EQ(value.parts.size(), 2u);
  EXPECT_FALSE(value.only_adds());
  EXPECT_EQ(value.find(PartKind::gain)->slice, (SourceSlice{0, 1, 0, 24}));
  const std::vector<float> gain = numbers_of(fixture.tensors[0]);
  EXPECT_EQ(derived_values(fixture, plan, value, PartKind::gain), gain);
  std::vector<std::byte> bytes(24 * sizeof(std::uint16_t));
  ASSERT_TRUE(base->read(*base->find(std::string(kIa3V) + ".bias"), bytes));
  std::vector<float> expected(24);
  convert_to_float(expected.data(), bytes.data(), DType::bf16, expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] *= gain[i];
  EXPECT_EQ(derived_values(fixture, plan, value, PartKind::bias_replacing), expected);

  const AdapterRecord& down = plan.records[1];
  EXPECT_EQ(down.parts.size(), 1u);
  EXPECT_EQ(tensor_of(down, PartKind::input_gain), 1);
  EXPECT_EQ(down.find(PartKind::input_gain)->slice, (SourceSlice{0, 1, 0, 80}));
  EXPECT_EQ(down.out, 48);
}

TEST(Ia3Modules, ReadsWhichVectorItIsFromTheShapeUnlessTheConfigTells) {
  for (const char* members : {"", R"(, "feedforward_modules": null)", R"(, "feedforward_modules": ".*down_proj")",
                              R"(, "feedforward_modules": ["wn_proj"])", R"(, "feedforward_modules": ["k_proj", "down_proj"])"}) {
    LoraFixture fixture = ia3(members);
    fixture.add(std::string(kIa3Down) + ".ia3_l", {1, 80});
    EXPECT_EQ(refusal_of(fixture), "served") << members;
  }
  for (const char* members : {R"(, "feedforward_modules": [])", R"(, "feedforward_modules": "down_proj")",  // not the whole path
                              R"(, "feedforward_modules": ["mlp.down"])"}) {
    LoraFixture fixture = ia3(members);
    fixture.add(std::string(kIa3Down) + ".ia3_l", {1, 80});
    EXPECT_THAT(refusal_of(fixture), AllOf(StartsWith("E_SHAPE"), HasSubstr("[outputs, 1]"), HasSubstr("does not name"), HasSubstr("80")));
  }
  LoraFixture fixture = ia3();
  fixture.add(std::string(kIa3Down) + ".ia3_l", {48, 1});
  EXPECT_THAT(refusal_of(fixture), AllOf(StartsWith("E_SHAPE"), HasSubstr("[1, inputs]"), HasSubstr("[48, 1]")));
  LoraFixture unclear = ia3("");
  unclear.add(std::string(kIa3Down) + ".ia3_l", {1, 1});
  EXPECT_THAT(refusal_of(unclear), AllOf(StartsWith("E_SHAPE"), HasSubstr("feedforward_modules")));
}

TEST(Ia3Modules, RefusesVectorsThatDoNotFitTheBase) {
  const auto refusal = [](std::vector<std::int64_t> shape) {
    LoraFixture fixture = ia3("");
    fixture.add("model.layers.0.mlp.down_proj.ia3_l", {48, 1}).add(std::string(kIa3Down) + ".ia3_l", std::move(shape));
    return refusal_of(fixture);
  };
  EXPECT_EQ(refusal({1, 80}), "served");
  EXPECT_THAT(refusal({1, 81}), AllOf(StartsWith("E_SHAPE"), HasSubstr(kIa3Down), HasSubstr("80 inputs"), HasSubstr("81")));
  EXPECT_THAT(refusal({47, 1}), AllOf(StartsWith("E_SHAPE"), HasSubstr("48 outputs"), HasSubstr("47")));
  EXPECT_THAT(refusal({2, 40}), AllOf(StartsWith("E_SHAPE"), HasSubstr("[2, 40]")));
  EXPECT_THAT(refusal({80}), AllOf(StartsWith("E_SHAPE"), HasSubstr("2 dimensions")));
  LoraFixture other = ia3("");
  other.add("model.layers.0.self_attn.o_proj.ia3_l", {32, 1});
  EXPECT_THAT(refusal_of(other), AllOf(StartsWith("E_WRONG_BASE"), HasSubstr("48 outputs"), HasSubstr("32 outputs")));
}

TEST(Ia3Modules, RefusesWhatIsNoPartOfIt) {
  LoraFixture fixture = ia3();
  fixture.add(std::string(kIa3Down) + ".ia3_l", {1, 80});
  LoraFixture twice = fixture;
  twice.add(std::string(kIa3Down) + ".ia3_l.default", {1, 80});
  EXPECT_THAT(refusal_of(twice), AllOf(StartsWith("E_UNKNOWN_TENSOR"), HasSubstr("same part")));
  for (const char* name : {".ia3_x", ".base_layer.bias", ".lora_A.weight", ".ia3_l.weight"}) {
    LoraFixture unknown = fixture;
    unknown.add(std::string(kIa3Down) + name, {48});
    EXPECT_THAT(refusal_of(unknown), AllOf(StartsWith("E_UNKNOWN_TENSOR"), HasSubstr(name), HasSubstr("an IA3 adapter"))) << name;
  }
  LoraFixture integers = ia3();
  integers.tensors.push_back({"base_model.model." + std::string(kIa3Down) + ".ia3_l", DType::i32, {1, 80}, std::vector<std::byte>(320)});
  EXPECT_THAT(refusal_of(integers), StartsWith("E_DTYPE"));
  EXPECT_THAT(refusal_of(ia3()), StartsWith("E_EMPTY"));
  LoraFixture biases = ia3(R"(, "bias": "all")");
  biases.add(std::string(kIa3Down) + ".ia3_l", {1, 80});
  EXPECT_THAT(refusal_of(biases), AllOf(StartsWith("E_UNSUPPORTED_OPTION"), HasSubstr("bias")));
}

TEST(Ia3Modules, NeedTheBiasOfTheBase) {
  LoraFixture fixture = ia3();
  fixture.add(std::string(kIa3V) + ".ia3_l", {24, 1});
  EXPECT_THAT(refusal_of(fixture), AllOf(StartsWith("E_UNSUPPORTED_OPTION"), HasSubstr(kIa3V), HasSubstr("bias")));
  const TemporaryFolder base, adapter;
  const AdapterPlan plan = import_adapter(fixture, base_with_bias(base, 23)).value();
  fixture.write(adapter.path());
  const SafetensorsFile file = SafetensorsFile::open(adapter.file("adapter_model.safetensors")).value();
  std::vector<float> out(24);
  const Status computed = plan.derived.back()->compute(out.data(), file, 0, 1, open_gate());
  ASSERT_FALSE(computed);
  EXPECT_EQ(computed.error().code, "E_SHAPE");
  EXPECT_THAT(computed.error().message, AllOf(HasSubstr("v_proj.bias"), HasSubstr("[24]")));
}

}  // namespace
}  // namespace slora
