#include "adapters/loha_modules.h"

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

constexpr const char* kLohaV = "model.layers.0.self_attn.v_proj";
constexpr const char* kLohaDown = "model.layers.1.mlp.down_proj";

LoraFixture loha(const std::string& members = "", int rank = 3) {
  LoraFixture fixture;
  fixture.config = R"({"peft_type": "LOHA", "r": )" + std::to_string(rank) + R"(, "alpha": 6)" + members + "}";
  return fixture;
}

LoraFixture& add_loha(LoraFixture& fixture, const std::string& module, std::int64_t rank, std::int64_t in, std::int64_t out,
                      const std::string& end = "") {
  for (const char* matrix : {"1", "2"}) {
    const std::string name = module + ".hada_w" + matrix;
    fixture.add(name + "_a" + end, {out, rank}).add(name + "_b" + end, {rank, in});
  }
  return fixture;
}

TEST(LohaModules, AreLoraOfTheSquareOfTheirRank) {
  LoraFixture fixture = loha();
  add_loha(fixture, kLohaV, 3, 48, 24);
  const AdapterPlan plan = import_adapter(fixture).value();
  EXPECT_THAT(plan.warnings, IsEmpty());
  ASSERT_EQ(plan.records.size(), 1u);
  const AdapterRecord& record = plan.records[0];
  EXPECT_EQ(record.rank, 9);
  EXPECT_EQ(record.scale, 2.0f);
  EXPECT_FALSE(record.is_general());
  EXPECT_EQ(record.find(PartKind::a)->slice, (SourceSlice{0, 9, 0, 48}));
  EXPECT_EQ(record.find(PartKind::b)->slice, (SourceSlice{0, 24, 0, 9}));
  const std::vector<float> a = derived_values(fixture, plan, record, PartKind::a);
  const std::vector<float> b = derived_values(fixture, plan, record, PartKind::b);
  std::vector<std::vector<float>> w;  // w1_a, w1_b, w2_a, w2_b
  for (const TensorToWrite& tensor : fixture.tensors) w.push_back(numbers_of(tensor));
  for (std::size_t out = 0; out < 24; ++out) {
    for (std::size_t in = 0; in < 48; ++in) {
      double product = 0, first = 0, second = 0;
      for (std::size_t j = 0; j < 9; ++j) product += double{b[out * 9 + j]} * a[j * 48 + in];
      for (std::size_t j = 0; j < 3; ++j) first += double{w[0][out * 3 + j]} * w[1][j * 48 + in];
      for (std::size_t j = 0; j < 3; ++j) second += double{w[2][out * 3 + j]} * w[3][j * 48 + in];
      ASSERT_DOUBLE_EQ(product, first * second) << out << " " << in;
    }
  }
  EXPECT_THAT(plan.derived.at(record.find(PartKind::a)->source.value - 4)->sources(),
              ElementsAre(fixture.tensors[1].name, fixture.tensors[3].name));
  EXPECT_THAT(plan.derived.at(record.find(PartKind::b)->source.value - 4)->sources(),
              ElementsAre(fixture.tensors[0].name, fixture.tensors[2].name));
}

TEST(LohaModules, ComputeAnyRows) {
  LoraFixture fixture = loha();
  add_loha(fixture, kLohaV, 3, 48, 24);
  const AdapterPlan plan = import_adapter(fixture).value();
  const TemporaryFolder folder;
  fixture.write(folder.path());
  const SafetensorsFile file = SafetensorsFile::open(folder.file("adapter_model.safetensors")).value();
  for (const auto& tensor : plan.derived) {
    const std::int64_t rows = tensor->shape()[0], cols = tensor->shape()[1];
    std::vector<float> whole(static_cast<std::size_t>(rows * cols)), part(static_cast<std::size_t>(4 * cols));
    ASSERT_TRUE(tensor->compute(whole.data(), file, 0, rows, open_gate()));
    ASSERT_TRUE(tensor->compute(part.data(), file, 2, 4, open_gate()));
    EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + 2 * cols));
  }
}

TEST(LohaModules, TakeRankAndScaleFromPatterns) {
  LoraFixture fixture = loha(R"(, "rank_pattern": {"down_proj": 2}, "alpha_pattern": {"down_proj": 5}, "peft_version": "0.21.2")");
  add_loha(fixture, kLohaV, 3, 48, 24);
  add_loha(fixture, kLohaDown, 2, 80, 48, ".default");
  const AdapterPlan plan = import_adapter(fixture).value();
  ASSERT_EQ(plan.records.size(), 2u);
  EXPECT_EQ(plan.records[0].rank, 9);
  EXPECT_EQ(plan.records[1].rank, 4);
  EXPECT_EQ(plan.records[1].scale, 2.5f);
}

TEST(LohaModules, HaveARankOfAtMostEight) {
  LoraFixture eight = loha("", 8);
  EXPECT_EQ(import_adapter(add_loha(eight, kLohaV, 8, 48, 24)).value().records[0].rank, 64);
  EXPECT_THAT(import_adapter(eight, nullptr, 63).error().message, HasSubstr("limit of 63"));
  LoraFixture nine = loha("", 9);
  EXPECT_THAT(refusal_of(add_loha(nine, kLohaV, 9, 48, 24)),
              AllOf(StartsWith("E_RANK"), HasSubstr("rank 9"), HasSubstr("81"), HasSubstr("save_as_lora")));
}

TEST(LohaModules, WantAllFourMatrices) {
  for (const char* missing : {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"}) {
    LoraFixture fixture = loha();
    add_loha(fixture, kLohaV, 3, 48, 24);
    std::erase_if(fixture.tensors, [&](const TensorToWrite& tensor) { return tensor.name.ends_with(missing); });
    EXPECT_THAT(refusal_of(fixture), AllOf(StartsWith("E_PAIR"), HasSubstr(kLohaV), HasSubstr("lacks " + std::string(missing))));
  }
}

TEST(LohaModules, RefuseOtherShapesTypesAndTensors) {
  const auto refusal = [](const std::string& part, std::vector<std::int64_t> shape, DType dtype = DType::f32) {
    LoraFixture fixture = loha();
    add_loha(fixture, kLohaV, 3, 48, 24);
    std::erase_if(fixture.tensors, [&](const TensorToWrite& tensor) { return tensor.name.ends_with(part); });
    fixture.add(std::string(kLohaV) + "." + part, std::move(shape));
    fixture.tensors.back().dtype = dtype;
    fixture.tensors.back().bytes.resize(fixture.tensors.back().bytes.size() / sizeof(float) * bytes_of(dtype));
    return refusal_of(fixture);
  };
  EXPECT_EQ(refusal("hada_w1_a", {24, 3}), "served");
  EXPECT_THAT(refusal("hada_w1_a", {24, 2}), AllOf(StartsWith("E_RANK"), HasSubstr("hada_w1_a")));
  EXPECT_THAT(refusal("hada_w2_a", {24, 2}), AllOf(StartsWith("E_SHAPE"), HasSubstr("hada_w2_a"), HasSubstr("[24, 3]")));
  EXPECT_THAT(refusal("hada_w2_b", {3, 24}), AllOf(StartsWith("E_SHAPE"), HasSubstr("hada_w2_b")));
  EXPECT_THAT(refusal("hada_w1_b", {3, 48, 1}), AllOf(StartsWith("E_SHAPE"), HasSubstr("2 dimensions")));
  EXPECT_THAT(refusal("hada_w1_b", {0, 48}), StartsWith("E_EMPTY"));
  EXPECT_THAT(refusal("hada_w2_b", {3, 48}, DType::i8), StartsWith("E_DTYPE"));
  EXPECT_THAT(refusal("hada_t1", {3, 3, 1, 1}), AllOf(StartsWith("E_UNSUPPORTED_OPTION"), HasSubstr("convolution")));
  EXPECT_THAT(refusal("alpha", {1}), StartsWith("E_UNKNOWN_TENSOR"));
  EXPECT_THAT(refusal("hada_w1_a.default", {24, 3}), AllOf(StartsWith("E_UNKNOWN_TENSOR"), HasSubstr("same part")));
  LoraFixture other_rank = loha("", 2);
  EXPECT_THAT(refusal_of(add_loha(other_rank, kLohaV, 3, 48, 24)), AllOf(StartsWith("E_RANK"), HasSubstr("expected rank 2")));
  LoraFixture scale = loha(R"(, "alpha_pattern": {"v_proj": 1e300})");
  EXPECT_THAT(refusal_of(add_loha(scale, kLohaV, 3, 48, 24)), StartsWith("E_SCALE"));
}

}  // namespace
}  // namespace slora
