#include "adapters/hira_modules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "adapters/testing/family_import.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr const char* kHiraQ = "model.layers.0.self_attn.q_proj";  // [48, 48]
constexpr const char* kHiraUp = "model.layers.1.mlp.up_proj";      // [80, 48]

LoraFixture adapter_of(const std::string& type, const std::string& members) {
  LoraFixture fixture;
  fixture.config = R"({"peft_type": ")" + type + R"(", )" + members + "}";
  return fixture;
}

LoraFixture& add_matrices(LoraFixture& fixture, const std::string& prefix, const std::string& module, std::int64_t rank, std::int64_t in,
                          std::int64_t out) {
  return fixture.add(module + "." + prefix + "_A", {rank, in}).add(module + "." + prefix + "_B", {out, rank});
}

TEST(HiraModules, MultiplyTheBasesWeights) {
  LoraFixture fixture = adapter_of("HIRA", R"("r": 4, "rank_pattern": {"up_proj": 2})");
  add_matrices(fixture, "hira", kHiraQ, 4, 48, 48);
  add_matrices(fixture, "hira", kHiraUp, 2, 48, 80);
  const AdapterPlan plan = import_adapter(fixture).value();
  EXPECT_THAT(plan.derived, IsEmpty());
  EXPECT_THAT(plan.warnings, IsEmpty());
  ASSERT_EQ(plan.records.size(), 2u);
  const AdapterRecord& up = plan.records[1];
  EXPECT_EQ(up.low_rank, LowRank::hadamard);
  EXPECT_EQ(up.rank, 2);
  EXPECT_EQ(up.z_cols(), 0);
  EXPECT_EQ(up.scale, 1);
  EXPECT_TRUE(up.only_adds());
  EXPECT_TRUE(up.is_general());
  EXPECT_EQ(up.parts.size(), 2u);
  EXPECT_EQ(tensor_of(up, PartKind::a), 2);
  EXPECT_EQ(tensor_of(up, PartKind::b), 3);
  EXPECT_EQ(up.find(PartKind::a)->slice, (SourceSlice{0, 2, 0, 48}));
  EXPECT_EQ(up.find(PartKind::b)->slice, (SourceSlice{0, 80, 0, 2}));
}

// PEFT 0.21 writes a rank_pattern and leaves it out.
TEST(HiraModules, MayHaveTheRankOfThePatternOrOfTheConfig) {
  const auto refusal = [](std::int64_t rank) {
    LoraFixture fixture = adapter_of("HIRA", R"("r": 4, "rank_pattern": {"up_proj": 2})");
    add_matrices(fixture, "hira", kHiraUp, rank, 48, 80);
    return refusal_of(fixture);
  };
  EXPECT_EQ(refusal(2), "served");
  EXPECT_EQ(refusal(4), "served");
  EXPECT_THAT(refusal(3), AllOf(StartsWith("E_RANK"), HasSubstr("expected rank 2"), HasSubstr("[3, 48]")));
}

TEST(HiraModules, HaveAsManyRanksAsTheServerTakes) {
  const auto refusal = [](const std::string& type, const std::string& prefix, std::int64_t rank) {
    LoraFixture fixture = adapter_of(type, R"("r": )" + std::to_string(rank));
    add_matrices(fixture, prefix, kHiraUp, rank, 48, 80);
    return refusal_of(fixture);
  };
  EXPECT_EQ(refusal("HIRA", "hira", kHadamardRankMax), "served");
  EXPECT_EQ(refusal("FLORA", "flora", kHadamardRankMax), "served");
  for (const std::string& message : {refusal("HIRA", "hira", kHadamardRankMax + 1), refusal("FLORA", "flora", kHadamardRankMax + 1)}) {
    EXPECT_THAT(message, AllOf(StartsWith("E_RANK"), HasSubstr(kHiraUp), HasSubstr("limit of 32"), HasSubstr("another product")));
  }
}

TEST(FloraModules, OfOneRankAreTwoGains) {
  LoraFixture fixture = adapter_of("FLORA", R"("r": 1, "flora_scale": 0.75)");
  add_matrices(fixture, "flora", kHiraUp, 1, 48, 80);
  const AdapterPlan plan = import_adapter(fixture).value();
  ASSERT_EQ(plan.records.size(), 1u);
  const AdapterRecord& record = plan.records[0];
  EXPECT_EQ(record.rank, 0);
  EXPECT_EQ(record.low_rank, LowRank::sum);
  EXPECT_EQ(record.parts.size(), 2u);
  EXPECT_EQ(tensor_of(record, PartKind::input_gain), 0);
  EXPECT_EQ(record.find(PartKind::input_gain)->slice, (SourceSlice{0, 1, 0, 48}));
  EXPECT_EQ(record.find(PartKind::gain)->slice, (SourceSlice{0, 1, 0, 80}));
  std::vector<float> expected = numbers_of(fixture.tensors[1]);
  for (float& value : expected) value *= 0.75f;
  EXPECT_EQ(derived_values(fixture, plan, record, PartKind::gain), expected);
}

TEST(FloraModules, OfMoreRanksTakeTheBasesProductAway) {
  LoraFixture fixture = adapter_of("FLORA", R"("r": 3, "flora_scale": 0.75, "rank_pattern": {"q_proj": 2})");
  add_matrices(fixture, "flora", kHiraQ, 2, 48, 48);
  add_matrices(fixture, "flora", kHiraUp, 3, 48, 80);
  const AdapterPlan plan = import_adapter(fixture).value();
  ASSERT_EQ(plan.records.size(), 2u);
  const AdapterRecord& record = plan.records[1];
  EXPECT_EQ(record.low_rank, LowRank::hadamard);
  EXPECT_EQ(record.rank, 3);
  EXPECT_EQ(record.scale, 0.75f);
  EXPECT_FALSE(record.only_adds());
  EXPECT_EQ(record.parts.size(), 3u);
  EXPECT_EQ(tensor_of(record, PartKind::a), 2);
  EXPECT_EQ(tensor_of(record, PartKind::b), 3);
  const std::vector<float> zeros = derived_values(fixture, plan, record, PartKind::input_gain);
  EXPECT_EQ(zeros.size(), 48u);
  EXPECT_THAT(zeros, Each(0));
}

TEST(FloraModules, HoldTheFileToTheirConfig) {
  LoraFixture fixture = adapter_of("FLORA", R"("r": 4, "rank_pattern": {"up_proj": 2})");
  add_matrices(fixture, "flora", kHiraUp, 4, 48, 80);
  EXPECT_THAT(refusal_of(fixture), AllOf(StartsWith("E_RANK"), HasSubstr("expected rank 2")));
  LoraFixture large = adapter_of("FLORA", R"("r": 2, "flora_scale": 1e39)");
  add_matrices(large, "flora", kHiraUp, 2, 48, 80);
  EXPECT_THAT(refusal_of(large), AllOf(StartsWith("E_SCALE"), HasSubstr("flora_scale")));
  LoraFixture no_rank = adapter_of("FLORA", R"("flora_scale": 1)");
  add_matrices(no_rank, "flora", kHiraUp, 2, 48, 80);
  EXPECT_THAT(refusal_of(no_rank), AllOf(StartsWith("E_SCALE"), HasSubstr("\"r\"")));
}

TEST(HiraModules, RefuseWhatDoesNotFit) {
  for (const auto& [type, prefix] : {std::pair("HIRA", "hira"), std::pair("FLORA", "flora")}) {
    const auto refusal = [&](auto add) {
      LoraFixture fixture = adapter_of(type, R"("r": 2)");
      add_matrices(fixture, prefix, "model.layers.0.mlp.up_proj", 2, 48, 80);
      add(fixture, std::string(kHiraUp) + "." + prefix);
      return refusal_of(fixture);
    };
    const auto with = [&](std::vector<std::int64_t> a, std::vector<std::int64_t> b) {
      return refusal([&](LoraFixture& fixture, const std::string& name) {
        if (!a.empty()) fixture.add(name + "_A", a);
        if (!b.empty()) fixture.add(name + "_B", b);
      });
    };
    EXPECT_EQ(with({2, 48}, {80, 2}), "served");
    EXPECT_THAT(with({2, 48}, {}), AllOf(StartsWith("E_PAIR"), HasSubstr(std::string("lacks ") + prefix + "_B")));
    EXPECT_THAT(with({}, {80, 2}), AllOf(StartsWith("E_PAIR"), HasSubstr(std::string("lacks ") + prefix + "_A")));
    EXPECT_THAT(with({2, 48}, {80, 3}), AllOf(StartsWith("E_RANK"), HasSubstr("2 columns")));
    EXPECT_THAT(with({2, 47}, {80, 2}), AllOf(StartsWith("E_SHAPE"), HasSubstr("48 inputs"), HasSubstr("47")));
    EXPECT_THAT(with({2, 48}, {81, 2}), AllOf(StartsWith("E_SHAPE"), HasSubstr("80 outputs"), HasSubstr("81")));
    EXPECT_THAT(with({96}, {80, 2}), AllOf(StartsWith("E_SHAPE"), HasSubstr("2 dimensions")));
    EXPECT_THAT(refusal([](LoraFixture& fixture, const std::string& name) {
                  fixture.add(name + "_C", {2, 48});
                }),
                StartsWith("E_UNKNOWN_TENSOR"));
    EXPECT_THAT(refusal([](LoraFixture& fixture, const std::string&) { fixture.add(std::string(kHiraUp) + ".base_layer.bias", {80}); }),
                StartsWith("E_UNKNOWN_TENSOR"));
  }
  LoraFixture embedding = adapter_of("HIRA", R"("r": 2)");
  embedding.add("model.embed_tokens.hira_embedding_A", {2, 100});
  EXPECT_THAT(refusal_of(embedding), AllOf(StartsWith("E_UNSUPPORTED_OPTION"), HasSubstr("embedding")));
}

}  // namespace
}  // namespace slora
