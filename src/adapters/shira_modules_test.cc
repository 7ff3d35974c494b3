#include "adapters/shira_modules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "adapters/sparse_tensors.h"
#include "adapters/testing/family_import.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr const char* kShV = "model.layers.0.self_attn.v_proj";  // 48 inputs, 24 outputs: 72 elements for each r
constexpr const char* kShO = "model.layers.0.self_attn.o_proj";  // 48 inputs, 48 outputs, inputs split

using Place = std::pair<int, int>;  // row, column

// Distinct places of a matrix with so many columns, in an order that is not the image's.
std::vector<Place> places(int count, int columns) {
  std::vector<Place> out;
  for (int i = count - 1; i >= 0; --i) out.emplace_back(i * 5 / columns, i * 5 % columns);
  return out;
}

template <class Number>
TensorToWrite index_tensor(const std::string& module, DType dtype, const std::vector<Place>& at) {
  std::vector<Number> numbers;
  for (const Place& place : at) numbers.push_back(static_cast<Number>(place.first));
  for (const Place& place : at) numbers.push_back(static_cast<Number>(place.second));
  const auto bytes = std::as_bytes(std::span(numbers));
  return {"base_model.model." + module + ".shira_indices", dtype, {2, std::ssize(at)}, {bytes.begin(), bytes.end()}};
}

LoraFixture shira_fixture(int r = 1) {
  LoraFixture fixture;
  fixture.config = R"({"peft_type": "SHIRA", "base_model_name_or_path": "a/base", "r": )" + std::to_string(r) + "}";
  return fixture;
}

LoraFixture shira_of(const std::string& module, const std::vector<Place>& at, int r = 1) {
  LoraFixture fixture = shira_fixture(r);
  fixture.add(module + ".shira_weight", {std::ssize(at)});
  fixture.tensors.push_back(index_tensor<std::int32_t>(module, DType::i32, at));
  return fixture;
}

// Rows, columns and values of an image's elements, sorted.
using Element = std::tuple<int, int, float>;

std::vector<Element> elements_of(const LoraFixture& fixture, const AdapterPlan& plan) {
  const AdapterRecord& record = plan.records.at(0);
  const auto numbers = [&](PartKind kind) { return derived_values(fixture, plan, record, kind); };
  const std::vector<float> counts = numbers(PartKind::row_counts), columns = numbers(PartKind::columns), values = numbers(PartKind::values);
  std::vector<Element> elements;
  for (std::size_t row = 0; row < counts.size(); ++row) {
    for (int i = 0; i < static_cast<int>(counts[row]); ++i) {
      const std::size_t at = elements.size();
      elements.emplace_back(static_cast<int>(row), static_cast<int>(columns.at(at)), values.at(at));
    }
  }
  EXPECT_EQ(elements.size(), values.size());
  std::ranges::sort(elements);
  return elements;
}

std::vector<Element> elements_of_file(const LoraFixture& fixture, const std::vector<Place>& at) {
  const std::vector<float> values = numbers_of(fixture.tensors.at(0));
  std::vector<Element> elements;
  for (std::size_t i = 0; i < at.size(); ++i) elements.emplace_back(at[i].first, at[i].second, values[i]);
  std::ranges::sort(elements);
  return elements;
}

TEST(ShiraModules, PutTheElementsRowAfterRow) {
  std::vector<Place> at = places(72, 48);
  at[3] = at[4];  // the same place twice
  const LoraFixture fixture = shira_of(kShV, at);
  const AdapterPlan plan = import_adapter(fixture).value();
  ASSERT_EQ(plan.records.size(), 1u);
  const AdapterRecord& record = plan.records[0];
  EXPECT_TRUE(record.is_general());
  EXPECT_TRUE(record.only_adds());
  EXPECT_EQ(record.rank, 0);
  EXPECT_THAT(record.shard_elements, ElementsAre(ElementRange{0, 72}));
  EXPECT_EQ(record.find(PartKind::row_counts)->slice, (SourceSlice{0, 1, 0, 24}));
  EXPECT_EQ(record.find(PartKind::columns)->slice, (SourceSlice{0, 1, 0, 72}));
  EXPECT_EQ(record.find(PartKind::values)->slice, (SourceSlice{0, 1, 0, 72}));
  EXPECT_THAT(elements_of(fixture, plan), ElementsAreArray(elements_of_file(fixture, at)));
  EXPECT_THAT(plan.warnings, IsEmpty());
}

TEST(ShiraModules, ReadIndicesOfAnyType) {
  const std::vector<Place> at = places(72, 48);
  const auto expect_same = [&](TensorToWrite indices) {
    LoraFixture fixture = shira_of(kShV, at);
    fixture.tensors[1] = std::move(indices);
    EXPECT_THAT(elements_of(fixture, import_adapter(fixture).value()), ElementsAreArray(elements_of_file(fixture, at)));
  };
  expect_same(index_tensor<std::uint8_t>(kShV, DType::u8, at));
  expect_same(index_tensor<std::int16_t>(kShV, DType::i16, at));
  expect_same(index_tensor<std::int64_t>(kShV, DType::i64, at));
  expect_same(index_tensor<float>(kShV, DType::f32, at));
}

// Elements of the inputs [0, 24) and [24, 48), and of the outputs [0, 12) and [12, 24).
TEST(ShiraModules, TellWhichElementsAShardHas) {
  const ModuleTable base = test_modules(2);
  for (const char* const path : {kShO, kShV}) {
    const ModuleEntry& module = *base.find(path);
    const std::vector<Place> at = places(module.in + module.out, 48);
    const LoraFixture fixture = shira_of(path, at);
    const TemporaryFolder folder;
    fixture.write(folder.path());
    const SafetensorsFile file = SafetensorsFile::open(folder.file("adapter_model.safetensors")).value();
    const auto sparse = std::make_shared<const SparseTensors>(file.tensors()[1], file.tensors()[0], module);
    const std::vector<ElementRange> elements = elements_of_shards(file, *sparse, nullptr).value();
    ASSERT_EQ(elements.size(), 2u);
    EXPECT_EQ(elements[0].begin, 0);
    EXPECT_EQ(elements[1].begin, elements[0].count);
    EXPECT_EQ(elements[1].begin + elements[1].count, std::ssize(at));
    const auto is_of_first = [&](const Place& place) { return module.splits_input ? place.second < 24 : place.first < 12; };
    EXPECT_EQ(elements[0].count, std::ranges::count_if(at, is_of_first)) << path;
    const SparseRowCounts counts(sparse, elements);
    EXPECT_THAT(counts.shape(), ElementsAre(module.splits_input ? 2 : 1, module.out));
    std::vector<float> columns(at.size());
    ASSERT_TRUE(SparseColumns(sparse).compute(columns.data(), file, 0, 1, open_gate()));
    EXPECT_EQ(*std::ranges::max_element(columns) < 24, module.splits_input) << "columns of a block are counted from its begin";
  }
}

// As when a file is written in place between the look at it and its load.
TEST(ShiraModules, AreRefusedWhenTheElementsOfShardsHaveChanged) {
  const ModuleTable base = test_modules();
  const ModuleEntry& module = *base.find(kShV);
  const TemporaryFolder folder;
  shira_of(kShV, places(72, 48)).write(folder.path());
  const SafetensorsFile file = SafetensorsFile::open(folder.file("adapter_model.safetensors")).value();
  const auto sparse = std::make_shared<const SparseTensors>(file.tensors()[1], file.tensors()[0], module);
  std::vector<float> counts(24);
  EXPECT_TRUE(SparseRowCounts(sparse, {{0, 72}}).compute(counts.data(), file, 0, 1, open_gate()));
  const Status changed = SparseRowCounts(sparse, {{0, 71}}).compute(counts.data(), file, 0, 1, open_gate());
  ASSERT_FALSE(changed);
  EXPECT_EQ(changed.error().code, "E_CHANGED");
}

TEST(ShiraModules, RefuseIndicesThatTheBaseDoesNotHave) {
  const auto refusal_with = [](Place place) {
    std::vector<Place> at = places(72, 48);
    at[7] = place;
    return refusal_of(shira_of(kShV, at));
  };
  EXPECT_THAT(refusal_with({24, 0}), AllOf(StartsWith("E_INDEX"), HasSubstr("rows from 0 to 23"), HasSubstr("found 24 at element 7")));
  EXPECT_THAT(refusal_with({0, 48}), AllOf(StartsWith("E_INDEX"), HasSubstr("columns from 0 to 47"), HasSubstr("found 48")));
  EXPECT_THAT(refusal_with({-1, 0}), AllOf(StartsWith("E_INDEX"), HasSubstr("found -1")));
  EXPECT_THAT(refusal_with({0, -1}), AllOf(StartsWith("E_INDEX"), HasSubstr("found -1")));
}

TEST(ShiraModules, RefuseWhatIsNoIndex) {
  for (const float bad : {0.5f, 1e30f, -0.25f, INFINITY, NAN}) {
    LoraFixture fixture = shira_of(kShV, places(72, 48));
    fixture.tensors[1] = index_tensor<float>(kShV, DType::f32, places(72, 48));
    std::memcpy(fixture.tensors[1].bytes.data() + 5 * sizeof bad, &bad, sizeof bad);
    EXPECT_THAT(refusal_of(fixture), AllOf(StartsWith("E_INDEX"), HasSubstr("whole numbers"), HasSubstr("at element 5"))) << bad;
  }
}

TEST(ShiraModules, RefuseIncompleteModulesAndWrongShapes) {
  const std::vector<Place> at = places(72, 48);
  LoraFixture fixture = shira_of(kShV, at);
  fixture.tensors.pop_back();
  EXPECT_THAT(refusal_of(fixture), AllOf(StartsWith("E_PAIR"), HasSubstr("lacks shira_indices")));
  fixture = shira_of(kShV, at);
  fixture.tensors.erase(fixture.tensors.begin());
  EXPECT_THAT(refusal_of(fixture), AllOf(StartsWith("E_PAIR"), HasSubstr("lacks shira_weight")));
  EXPECT_THAT(refusal_of(shira_of(kShV, at, 2)), AllOf(StartsWith("E_SHAPE"), HasSubstr("[2 x 72]"), HasSubstr("[72]")));
  EXPECT_THAT(refusal_of(shira_of(kShV, places(71, 48))), AllOf(StartsWith("E_SHAPE"), HasSubstr("[71]")));
  fixture = shira_of(kShV, at);
  fixture.tensors[1].shape = {72, 2};
  EXPECT_THAT(refusal_of(fixture), AllOf(StartsWith("E_SHAPE"), HasSubstr("expected [2, 72]"), HasSubstr("[72, 2]")));
  fixture = shira_of(kShV, at);
  fixture.tensors[0].shape = {8, 9};
  EXPECT_THAT(refusal_of(fixture), AllOf(StartsWith("E_SHAPE"), HasSubstr("[8, 9]")));
}

TEST(ShiraModules, RefuseOtherTypesAndNames) {
  LoraFixture fixture = shira_of(kShV, places(72, 48));
  fixture.tensors[1] = index_tensor<std::uint16_t>(kShV, DType::f16, places(72, 48));
  EXPECT_THAT(refusal_of(fixture), AllOf(StartsWith("E_DTYPE"), HasSubstr("I64 or F32"), HasSubstr("F16")));
  fixture = shira_of(kShV, places(72, 48)).add(std::string(kShV) + ".shira_mask", {72});
  EXPECT_THAT(refusal_of(fixture), AllOf(StartsWith("E_UNKNOWN_TENSOR"), HasSubstr("shira_mask")));
  EXPECT_THAT(refusal_of(shira_of("model.embed_tokens", places(72, 48))), StartsWith("E_UNSUPPORTED_OPTION"));
  EXPECT_THAT(refusal_of(shira_of("model.norm", places(72, 48))), StartsWith("E_SHAPE"));
  EXPECT_THAT(refusal_of(shira_of("model.layers.0.self_attn.w_proj", places(72, 48))), StartsWith("E_UNKNOWN_MODULE"));
}

}  // namespace
}  // namespace slora
