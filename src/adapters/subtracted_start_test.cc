#include "adapters/subtracted_start.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/testing/family_import.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr const char* kStartedK = "model.layers.1.self_attn.k_proj";  // [24, 48]

LoraFixture with_start(const std::string& scheme, const std::string& members = "") {
  LoraFixture fixture;
  fixture.config = R"({"peft_type": "LORA", "r": 4, "lora_alpha": 6, "init_lora_weights": ")" + scheme + "\"" + members + "}";
  fixture.add_pair(kStartedK, 4, 48, 24);
  return fixture;
}

std::shared_ptr<const ModelFiles> base_with_weight(const TemporaryFolder& folder, std::vector<std::int64_t> shape = {24, 48}) {
  LoraFixture base;
  base.add(std::string(kStartedK) + ".weight", std::move(shape), DType::f32, "");
  check(write_safetensors(folder.file("model.safetensors"), base.tensors).has_value(), "expected to write the base");
  return std::make_shared<const ModelFiles>(ModelFiles::open(folder.path()).value());
}

// A part of a plan whose first half is the adapter's: the second half.
std::vector<float> later_rows(const std::vector<float>& values, std::size_t cols) {
  return {values.begin() + static_cast<std::ptrdiff_t>(4 * cols), values.end()};
}

TEST(SubtractedStart, IsSubtractedAgainAsFurtherRanks) {
  for (const char* scheme : {"pissa", "olora", "OLoRA"}) {
    SCOPED_TRACE(scheme);
    const LoraFixture fixture = with_start(scheme);
    const TemporaryFolder folder;
    const std::shared_ptr<const ModelFiles> base = base_with_weight(folder);
    const AdapterPlan plan = import_adapter(fixture, base).value();
    ASSERT_EQ(plan.records.size(), 1u);
    const AdapterRecord& record = plan.records[0];
    EXPECT_EQ(record.rank, 8);
    EXPECT_EQ(record.scale, 1.5f);
    EXPECT_EQ(record.find(PartKind::a)->slice, (SourceSlice{0, 8, 0, 48}));
    EXPECT_EQ(record.find(PartKind::b)->slice, (SourceSlice{0, 24, 0, 8}));

    std::vector<float> weight(24 * 48);
    ASSERT_TRUE(base->read(base->tensors()[0], std::as_writable_bytes(std::span(weight))));
    const bool is_pissa = std::string(scheme) == "pissa";
    FactoredMatrix expected = is_pissa ? best_approximation(weight, 24, 48, 4).value() : leading_qr(weight, 24, 48, 4);
    if (is_pissa) std::ranges::for_each(expected.a, [](float& value) { value /= 1.5f; });
    const std::vector<float> a = derived_values(fixture, plan, record, PartKind::a), b = derived_values(fixture, plan, record, PartKind::b);
    EXPECT_EQ(later_rows(a, 48), expected.a);
    EXPECT_EQ((std::vector(a.begin(), a.begin() + 4 * 48)), numbers_of(fixture.tensors[0]));
    const std::vector<float> own = numbers_of(fixture.tensors[1]);
    for (std::size_t row = 0; row < 24; ++row) {
      for (std::size_t i = 0; i < 4; ++i) {
        EXPECT_EQ(b[row * 8 + i], own[row * 4 + i]);
        EXPECT_EQ(b[row * 8 + 4 + i], -expected.b[row * 4 + i]);
      }
    }
  }
}

TEST(SubtractedStart, GivesTheSameRowsInPieces) {
  const LoraFixture fixture = with_start("olora");
  const TemporaryFolder folder, model;
  fixture.write(folder.path());
  const SafetensorsFile file = SafetensorsFile::open(folder.file("adapter_model.safetensors")).value();
  const AdapterPlan plan = import_adapter(fixture, base_with_weight(model)).value();
  for (const auto& tensor : plan.derived) {
    const std::int64_t rows = tensor->shape()[0], cols = tensor->shape()[1];
    std::vector<float> whole(static_cast<std::size_t>(rows * cols)), pieces(whole.size());
    ASSERT_TRUE(tensor->compute(whole.data(), file, 0, rows, open_gate()));
    for (std::int64_t row = 0; row < rows; row += 3)
      ASSERT_TRUE(tensor->compute(pieces.data() + row * cols, file, row, std::min<std::int64_t>(3, rows - row), open_gate()));
    EXPECT_EQ(pieces, whole);
  }
}

TEST(SubtractedStart, IsNotComputedOnceTheGateIsClosed) {
  const LoraFixture fixture = with_start("pissa");
  const TemporaryFolder folder, model;
  fixture.write(folder.path());
  const SafetensorsFile file = SafetensorsFile::open(folder.file("adapter_model.safetensors")).value();
  const AdapterPlan plan = import_adapter(fixture, base_with_weight(model)).value();
  Gate gate;
  ASSERT_TRUE(gate.close());
  std::vector<float> values(8 * 48);
  const Status computed = plan.derived[0]->compute(values.data(), file, 0, 8, gate);
  ASSERT_FALSE(computed);
  EXPECT_EQ(computed.error().code, "E_READ");
}

TEST(SubtractedStart, NeedsTheBasesWeight) {
  EXPECT_THAT(refusal_of(with_start("pissa")), AllOf(StartsWith("E_BASE_MUTATED"), HasSubstr(kStartedK), HasSubstr("no files")));
  const LoraFixture fixture = with_start("pissa");
  const TemporaryFolder model;
  const AdapterPlan plan = import_adapter(fixture, base_with_weight(model, {24, 47})).value();
  const TemporaryFolder folder;
  fixture.write(folder.path());
  const SafetensorsFile file = SafetensorsFile::open(folder.file("adapter_model.safetensors")).value();
  std::vector<float> values(8 * 48);
  const Status computed = plan.derived[0]->compute(values.data(), file, 0, 8, open_gate());
  ASSERT_FALSE(computed);
  EXPECT_THAT(computed.error().code + computed.error().message, AllOf(StartsWith("E_SHAPE"), HasSubstr("[24, 48]")));
}

TEST(SubtractedStart, CountsItsRanks) {
  const TemporaryFolder folder;
  const Result<AdapterPlan> plan = import_adapter(with_start("olora"), base_with_weight(folder), 7);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, "E_RANK");
  EXPECT_THAT(plan.error().message, AllOf(HasSubstr("rank 8"), HasSubstr("limit of 7"), HasSubstr("start")));
}

// PEFT subtracts at linear modules only.
TEST(SubtractedStart, LeavesLoraOfTheEmbeddingAsItIs) {
  LoraFixture fixture = with_start("pissa");
  fixture.add("model.embed_tokens.lora_embedding_A", {4, 100}).add("model.embed_tokens.lora_embedding_B", {48, 4});
  const TemporaryFolder folder;
  const AdapterPlan plan = import_adapter(fixture, base_with_weight(folder)).value();
  ASSERT_EQ(plan.records.size(), 2u);
  const auto embedding = std::ranges::find(plan.records, kEmbeddingSite, &AdapterRecord::site);
  ASSERT_NE(embedding, plan.records.end());
  EXPECT_EQ(embedding->rank, 4);
}

}  // namespace
}  // namespace slora
