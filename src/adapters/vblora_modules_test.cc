#include "adapters/vblora_modules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "adapters/testing/family_import.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pointwise;
using ::testing::StartsWith;

constexpr const char* kVbV = "model.layers.0.self_attn.v_proj";  // 48 inputs, 24 outputs
constexpr std::int64_t kLength = 8, kVectors = 10;

// r 2, 10 vectors of length 8.
std::string vblora_config(const std::string& members) {
  return R"({"peft_type": "VBLORA", "r": 2, "num_vectors": 10, "vector_length": 8)" + members + "}";
}
LoraFixture vblora(const std::string& members = "") {
  LoraFixture fixture;
  fixture.config = vblora_config(members);
  return fixture.add("vblora_vector_bank", {kVectors, kLength}, DType::f32, "base_model.");
}

LoraFixture with_logits(const std::string& members = "") {
  LoraFixture fixture = vblora(members);
  return fixture.add(std::string(kVbV) + ".vblora_logits_A", {2, 6, kVectors})
      .add(std::string(kVbV) + ".vblora_logits_B", {3, 2, kVectors});
}

template <class Integer>
void add_indices(LoraFixture& fixture, const std::string& name, DType dtype, std::vector<std::int64_t> shape,
                 const std::vector<int>& values) {
  TensorToWrite tensor{"base_model.model." + name, dtype, std::move(shape), std::vector<std::byte>(values.size() * sizeof(Integer))};
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto value = static_cast<Integer>(values[i]);
    std::memcpy(tensor.bytes.data() + i * sizeof value, &value, sizeof value);
  }
  fixture.tensors.push_back(std::move(tensor));
}

void add_numbers(LoraFixture& fixture, const std::string& name, std::vector<std::int64_t> shape, const std::vector<float>& values) {
  fixture.tensors.push_back(tensor_to_write("base_model.model." + name, DType::f32, std::move(shape), values));
}

// Of three vectors for each tile: 3, 7 and 0 in one half of the tiles, 1, 0 and 9 in the other.
template <class Integer>
LoraFixture with_top_weights(DType dtype, std::vector<int> first = {3, 7, 0}, std::vector<float> first_weights = {0.5f, 0.3f}) {
  LoraFixture fixture = vblora(R"(, "topk": 3, "save_only_topk_weights": true)");
  for (const auto& [matrix, outer, inner] : {std::tuple("A", 2, 6), std::tuple("B", 3, 2)}) {
    std::vector<int> indices;
    std::vector<float> weights;
    for (int tile = 0; tile < outer * inner; ++tile) {
      const std::vector<int> chosen = tile % 2 == 0 ? first : std::vector<int>{1, 0, 9};
      const std::vector<float> with = tile % 2 == 0 ? first_weights : std::vector<float>{0.75f, 0.25f};
      indices.insert(indices.end(), chosen.begin(), chosen.end());
      weights.insert(weights.end(), with.begin(), with.end());
    }
    const std::string name = std::string(kVbV) + ".vblora_logits_" + matrix;
    add_indices<Integer>(fixture, name + "_topk_indices", dtype, {outer, inner, 3}, indices);
    add_numbers(fixture, name + "_topk_weights", {outer, inner, 2}, weights);
  }
  return fixture;
}

// The error of computing A, or "computed".
std::string refusal_of_numbers(const LoraFixture& fixture) {
  const AdapterPlan plan = import_adapter(fixture).value();
  const TemporaryFolder folder;
  fixture.write(folder.path());
  const SafetensorsFile file = SafetensorsFile::open(folder.file("adapter_model.safetensors")).value();
  std::vector<float> values(2 * 48);
  const Status computed = plan.derived.at(0)->compute(values.data(), file, 0, 2, open_gate());
  return computed ? "computed" : computed.error().code + ": " + computed.error().message;
}

TEST(VbloraModules, MakeAAndBOfTheVectorsWithTheLargestLogits) {
  const LoraFixture fixture = with_logits();
  const AdapterPlan plan = import_adapter(fixture).value();
  EXPECT_THAT(plan.warnings, IsEmpty());
  ASSERT_EQ(plan.records.size(), 1u);
  const AdapterRecord& record = plan.records[0];
  EXPECT_EQ(record.rank, 2);
  EXPECT_EQ(record.scale, 1.0f);
  EXPECT_FALSE(record.is_general());
  EXPECT_EQ(record.find(PartKind::a)->slice, (SourceSlice{0, 2, 0, 48}));
  EXPECT_EQ(record.find(PartKind::b)->slice, (SourceSlice{0, 24, 0, 2}));

  const std::vector<float> bank = numbers_of(fixture.tensors[0]);
  const auto expected_tile = [&](const std::vector<float>& logits, std::size_t tile) {
    const float* const begin = logits.data() + tile * kVectors;
    std::vector<std::size_t> order = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    std::ranges::sort(order, std::ranges::greater(), [&](std::size_t index) { return begin[index]; });
    const double first = 1 / (1 + std::exp(double{begin[order[1]]} - begin[order[0]]));
    std::vector<float> values;
    for (std::size_t i = 0; i < kLength; ++i)
      values.push_back(static_cast<float>(first * bank[order[0] * kLength + i] + (1 - first) * bank[order[1] * kLength + i]));
    return values;
  };
  const std::vector<float> a = derived_values(fixture, plan, record, PartKind::a), b = derived_values(fixture, plan, record, PartKind::b);
  const std::vector<float> logits_a = numbers_of(fixture.tensors[1]), logits_b = numbers_of(fixture.tensors[2]);
  for (std::size_t tile = 0; tile < 12; ++tile) {
    const std::vector<float> found(a.begin() + tile * kLength, a.begin() + (tile + 1) * kLength);
    EXPECT_THAT(found, Pointwise(FloatNear(1e-4f), expected_tile(logits_a, tile))) << tile;
  }
  for (std::size_t tile = 0; tile < 6; ++tile) {  // [3, 2]: pieces of the outputs, ranks
    std::vector<float> found;
    for (std::size_t i = 0; i < kLength; ++i) found.push_back(b[(tile / 2 * kLength + i) * 2 + tile % 2]);
    EXPECT_THAT(found, Pointwise(FloatNear(1e-4f), expected_tile(logits_b, tile))) << tile;
  }
}

TEST(VbloraModules, ReadIndicesOfAnyTypeAndTheLastWeightAsTheRest) {
  for (const LoraFixture& fixture :
       {with_top_weights<std::uint8_t>(DType::u8), with_top_weights<std::int8_t>(DType::i8), with_top_weights<std::int16_t>(DType::i16),
        with_top_weights<std::int32_t>(DType::i32), with_top_weights<std::int64_t>(DType::i64)}) {
    const AdapterPlan plan = import_adapter(fixture).value();
    const std::vector<float> bank = numbers_of(fixture.tensors[0]);
    const std::vector<float> a = derived_values(fixture, plan, plan.records[0], PartKind::a);
    const std::vector<float> b = derived_values(fixture, plan, plan.records[0], PartKind::b);
    const auto of_bank = [&](std::size_t vector, std::size_t i) { return bank[vector * kLength + i]; };
    for (std::size_t i = 0; i < kLength; ++i) {
      const float even = 0.5f * of_bank(3, i) + 0.3f * of_bank(7, i) + 0.2f * of_bank(0, i);
      const float odd = 0.75f * of_bank(1, i) + 0.25f * of_bank(0, i);
      EXPECT_NEAR(a[i], even, 1e-4f);
      EXPECT_NEAR(a[kLength + i], odd, 1e-4f);
      EXPECT_NEAR(b[(16 + i) * 2], even, 1e-4f);
      EXPECT_NEAR(b[(16 + i) * 2 + 1], odd, 1e-4f);
    }
  }
}

TEST(VbloraModules, ReadOneVectorForEachTile) {
  LoraFixture fixture = vblora(R"(, "topk": 1, "save_only_topk_weights": true)");
  add_indices<std::uint8_t>(fixture, std::string(kVbV) + ".vblora_logits_A_topk_indices", DType::u8, {2, 6, 1}, std::vector<int>(12, 4));
  fixture.add(std::string(kVbV) + ".vblora_logits_A_topk_weights", {2, 6, 0});
  add_indices<std::uint8_t>(fixture, std::string(kVbV) + ".vblora_logits_B_topk_indices", DType::u8, {3, 2, 1}, std::vector<int>(6, 9));
  fixture.add(std::string(kVbV) + ".vblora_logits_B_topk_weights", {3, 2, 0});
  const AdapterPlan plan = import_adapter(fixture).value();
  const std::vector<float> a = derived_values(fixture, plan, plan.records[0], PartKind::a);
  const std::vector<float> bank = numbers_of(fixture.tensors[0]);
  EXPECT_TRUE(std::equal(a.begin(), a.begin() + kLength, bank.begin() + 4 * kLength));
}

TEST(VbloraModules, ComputeAnyRows) {
  const LoraFixture fixture = with_logits();
  const AdapterPlan plan = import_adapter(fixture).value();
  const TemporaryFolder folder;
  fixture.write(folder.path());
  const SafetensorsFile file = SafetensorsFile::open(folder.file("adapter_model.safetensors")).value();
  const DerivedTensor& b = *plan.derived.at(1);
  ASSERT_EQ(b.shape(), (std::vector<std::int64_t>{24, 2}));
  EXPECT_THAT(b.sources(), ElementsAre(fixture.tensors[0].name, fixture.tensors[2].name));
  std::vector<float> whole(48), part(11 * 2);
  ASSERT_TRUE(b.compute(whole.data(), file, 0, 24, open_gate()));
  ASSERT_TRUE(b.compute(part.data(), file, 6, 11, open_gate()));  // pieces of three tiles
  EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + 6 * 2));
}

TEST(VbloraModules, RefuseIndicesAndWeightsThatMakeNoSum) {
  const auto of_indices = [](std::vector<int> indices) {
    return refusal_of_numbers(with_top_weights<std::int16_t>(DType::i16, std::move(indices)));
  };
  EXPECT_EQ(of_indices({9, 0, 5}), "computed");
  EXPECT_THAT(of_indices({3, 10, 0}),
              AllOf(StartsWith("E_INDEX"), HasSubstr("topk_indices"), HasSubstr("below 10"), HasSubstr("found 10")));
  EXPECT_THAT(of_indices({3, -1, 0}), AllOf(StartsWith("E_INDEX"), HasSubstr("found -1")));
  EXPECT_THAT(of_indices({3, 0, 3}), AllOf(StartsWith("E_INDEX"), HasSubstr("found 3 twice")));
  const auto of_weights = [](std::vector<float> weights) {
    return refusal_of_numbers(with_top_weights<std::int16_t>(DType::i16, {3, 7, 0}, std::move(weights)));
  };
  EXPECT_EQ(of_weights({1.0f, 0.0f}), "computed");
  EXPECT_THAT(of_weights({0.75f, 0.5f}), AllOf(StartsWith("E_NONFINITE"), HasSubstr("topk_weights"), HasSubstr("-0.25")));
  EXPECT_THAT(of_weights({-0.5f, 0.5f}), AllOf(StartsWith("E_NONFINITE"), HasSubstr("-0.5")));
  EXPECT_THAT(of_weights({NAN, 0.5f}), AllOf(StartsWith("E_NONFINITE"), HasSubstr("topk_weights")));
  LoraFixture fixture = with_logits();
  fixture.tensors[1] = tensor_to_write(fixture.tensors[1].name, DType::f32, {2, 6, kVectors}, std::vector<float>(120, INFINITY));
  EXPECT_THAT(refusal_of_numbers(fixture), AllOf(StartsWith("E_NONFINITE"), HasSubstr("logits_A")));
}

TEST(VbloraModules, WantTheBankThatTheConfigSays) {
  LoraFixture fixture = with_logits();
  fixture.tensors.erase(fixture.tensors.begin());
  EXPECT_THAT(refusal_of(fixture), AllOf(StartsWith("E_PAIR"), HasSubstr("base_model.vblora_vector_bank")));
  LoraFixture in_base = fixture;
  in_base.add("vblora_vector_bank", {kVectors, kLength});
  EXPECT_THAT(refusal_of(in_base), StartsWith("E_UNKNOWN_TENSOR"));
  LoraFixture raw = fixture;
  raw.add("vblora_vector_bank.default", {kVectors, kLength}, DType::f32, "base_model.");
  EXPECT_EQ(refusal_of(raw), "served");
  LoraFixture twice = with_logits();
  twice.add("vblora_vector_bank.default", {kVectors, kLength}, DType::f32, "base_model.");
  EXPECT_THAT(refusal_of(twice), AllOf(StartsWith("E_UNKNOWN_TENSOR"), HasSubstr("same part")));
  LoraFixture alone = vblora();
  EXPECT_THAT(refusal_of(alone), AllOf(StartsWith("E_EMPTY"), HasSubstr("no module that uses it")));
  alone.add(std::string(kVbV) + ".base_layer.bias", {24});
  EXPECT_THAT(refusal_of(alone), AllOf(StartsWith("E_EMPTY"), HasSubstr("no module that uses it")));
  for (const std::vector<std::int64_t>& shape : {std::vector<std::int64_t>{9, 8}, {10, 7}, {10, 8, 1}, {80}}) {
    LoraFixture other = fixture;
    other.add("vblora_vector_bank", shape, DType::f32, "base_model.");
    EXPECT_THAT(refusal_of(other), AllOf(StartsWith("E_SHAPE"), HasSubstr("[10, 8]")));
  }
  EXPECT_THAT(refusal_of(with_logits(R"(, "topk": 11)")), AllOf(StartsWith("E_INDEX"), HasSubstr("topk"), HasSubstr("10 vectors")));
  EXPECT_EQ(refusal_of(with_logits(R"(, "topk": 10)")), "served");
}

TEST(VbloraModules, WantWhatTheWayOfSavingWrites) {
  EXPECT_EQ(refusal_of(with_logits(R"(, "save_only_topk_weights": true)")), "served");  // as in PEFT
  LoraFixture indices = with_top_weights<std::uint8_t>(DType::u8);
  indices.config = vblora_config(R"(, "topk": 3)");
  EXPECT_THAT(refusal_of(indices), AllOf(StartsWith("E_PAIR"), HasSubstr("save_only_topk_weights is false")));
  const auto without = [](LoraFixture fixture, const std::string& end) {
    std::erase_if(fixture.tensors, [&](const TensorToWrite& tensor) { return tensor.name.ends_with(end); });
    return refusal_of(fixture);
  };
  EXPECT_THAT(without(with_logits(), "logits_A"), AllOf(StartsWith("E_PAIR"), HasSubstr("vblora_logits_A"), HasSubstr(kVbV)));
  EXPECT_THAT(without(with_logits(), "logits_B"), AllOf(StartsWith("E_PAIR"), HasSubstr("vblora_logits_B")));
  const LoraFixture top = with_top_weights<std::uint8_t>(DType::u8);
  EXPECT_THAT(without(top, "A_topk_indices"), AllOf(StartsWith("E_PAIR"), HasSubstr("vblora_logits_A")));
  EXPECT_THAT(without(top, "B_topk_weights"), AllOf(StartsWith("E_PAIR"), HasSubstr("vblora_logits_B_topk_weights")));
  LoraFixture both = top;
  both.add(std::string(kVbV) + ".vblora_logits_A", {2, 6, kVectors});
  EXPECT_THAT(refusal_of(both), AllOf(StartsWith("E_UNKNOWN_TENSOR"), HasSubstr("same part")));
  LoraFixture logits = with_logits();
  logits.add(std::string(kVbV) + ".vblora_logits_A_topk_weights", {2, 6, 1});
  EXPECT_THAT(refusal_of(logits), AllOf(StartsWith("E_PAIR"), HasSubstr("no weights")));
}

TEST(VbloraModules, RefuseOtherShapesTypesAndTensors) {
  const auto refusal = [](const std::string& part, std::vector<std::int64_t> shape, DType dtype = DType::f32) {
    LoraFixture fixture = with_logits();
    std::erase_if(fixture.tensors, [&](const TensorToWrite& tensor) { return tensor.name.ends_with(part); });
    fixture.add(std::string(kVbV) + "." + part, std::move(shape));
    fixture.tensors.back().dtype = dtype;
    fixture.tensors.back().bytes.resize(fixture.tensors.back().bytes.size() / sizeof(float) * bytes_of(dtype));
    return refusal_of(fixture);
  };
  EXPECT_THAT(refusal("vblora_logits_A", {2, 6, 9}), AllOf(StartsWith("E_SHAPE"), HasSubstr("[2, 6, 10]")));
  EXPECT_THAT(refusal("vblora_logits_A", {2, 60}), AllOf(StartsWith("E_SHAPE"), HasSubstr("3 dimensions")));
  EXPECT_THAT(refusal("vblora_logits_A", {2, 5, 10}), StartsWith("E_WRONG_BASE"));
  EXPECT_THAT(refusal("vblora_logits_A", {3, 6, 10}), AllOf(StartsWith("E_RANK"), HasSubstr("logits_B")));
  EXPECT_THAT(refusal("vblora_logits_B", {4, 2, 10}), StartsWith("E_WRONG_BASE"));
  EXPECT_THAT(refusal("vblora_logits_A", {2, 0, 10}), StartsWith("E_EMPTY"));
  EXPECT_THAT(refusal("vblora_logits_A", {2, 6, 10}, DType::i16), AllOf(StartsWith("E_DTYPE"), HasSubstr("F32")));
  EXPECT_THAT(refusal("vblora_logits_C", {2, 6, 10}), AllOf(StartsWith("E_UNKNOWN_TENSOR"), HasSubstr("a VB-LoRA adapter")));
  LoraFixture other_rank = with_logits();
  other_rank.config = R"({"peft_type": "VBLORA", "r": 4, "num_vectors": 10, "vector_length": 8})";
  EXPECT_THAT(refusal_of(other_rank), AllOf(StartsWith("E_RANK"), HasSubstr("expected rank 4")));
  LoraFixture floats = with_top_weights<float>(DType::f32);
  EXPECT_THAT(refusal_of(floats), AllOf(StartsWith("E_DTYPE"), HasSubstr("topk_indices"), HasSubstr("I16")));
}

// Sizes that a header may claim without bytes of such a number.
TEST(VbloraModules, RefuseWidthsThatOverflow) {
  const AdapterConfig config =
      parse_adapter_config(
          *parse_json(
              R"({"peft_type": "VBLORA", "r": 1, "num_vectors": 1, "vector_length": 16777216, "topk": 1, "save_only_topk_weights": true})"))
          .value();
  constexpr std::int64_t kTiles = std::int64_t{1} << 45;
  const std::string module = "base_model.model." + std::string(kVbV) + ".vblora_logits_";
  const std::vector<TensorInfo> tensors = {{"base_model.vblora_vector_bank", DType::f32, {1, 16777216}, 0, 67108864},
                                           {module + "A_topk_indices", DType::u8, {1, kTiles, 1}, 0, kTiles},
                                           {module + "A_topk_weights", DType::f32, {1, kTiles, 0}, 0, 0},
                                           {module + "B_topk_indices", DType::u8, {kTiles, 1, 1}, 0, kTiles},
                                           {module + "B_topk_weights", DType::f32, {kTiles, 1, 0}, 0, 0}};
  const Result<AdapterModules> modules = read_vblora_modules(config, tensors, {.rank_max = 512});
  ASSERT_FALSE(modules);
  EXPECT_EQ(modules.error().code, "E_SHAPE");
  EXPECT_THAT(modules.error().message, HasSubstr("tiles"));
}

}  // namespace
}  // namespace slora
