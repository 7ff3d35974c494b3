// Bases in the forms of GPTQ, AWQ, compressed-tensors, FP8 and bitsandbytes, against the numbers that these programs compute from them:
// tools/golden_quantised.py makes the data.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include "formats/json.h"
#include "formats/model_folder.h"
#include "formats/temporary_folder.h"
#include "golden_model.h"
#include "merge/merged_model.h"
#include "tensor/int4.h"

namespace slora::testing {
namespace {

using ::testing::HasSubstr;

const std::string kAdapter = golden_folder("quantised/adapter");

std::vector<std::string> quantised_models() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(golden_folder("quantised"))) {
    if (std::filesystem::exists(entry.path() / "expected.safetensors")) names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

std::vector<std::byte> bytes_of_tensor(const SafetensorsFile& file, const TensorInfo& info) {
  std::vector<std::byte> bytes(info.bytes);
  check(file.read(info, bytes).has_value(), "expected readable golden data");
  return bytes;
}

class Quantised : public ::testing::TestWithParam<std::string> {
 protected:
  const std::string name_ = "quantised/" + GetParam();
  const SafetensorsFile expected_ = SafetensorsFile::open(golden_folder(name_) + "/expected.safetensors").value();

  [[nodiscard]] std::vector<TensorInfo> weights() const {
    std::vector<TensorInfo> weights;
    std::ranges::copy_if(expected_.tensors(), std::back_inserter(weights),
                         [](const TensorInfo& info) { return info.name.ends_with(".weight"); });
    return weights;
  }
};

TEST_P(Quantised, HasTheNumbersOfTheProgramThatMadeItToTheBit) {
  const Result<ModelFolder> folder = open_model_folder(golden_folder(name_));
  ASSERT_TRUE(folder) << folder.error().message;
  ASSERT_GE(weights().size(), 6u);
  EXPECT_EQ(folder->quantised.count, weights().size());
  for (const TensorInfo& expected : weights()) {
    const ModelTensor* found = folder->files.find(expected.name);
    ASSERT_NE(found, nullptr) << expected.name;
    ASSERT_EQ(found->info.shape, expected.shape) << expected.name;
    ASSERT_EQ(name_of(found->info.dtype), name_of(expected.dtype)) << expected.name;
    std::vector<std::byte> bytes(found->info.bytes);
    const Status read = folder->files.read(*found, bytes);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(bytes, bytes_of_tensor(expected_, expected)) << expected.name;
  }
}

// Their scales and zeros stand for groups of 32 inputs or more, and numbers differ from equidistant ones by rounding to their type only: by
// half of a unit in the last place. So does an offset, which is no larger than the largest of them, by rounding to f16.
TEST_P(Quantised, KeepsItsLevelsInInt4) {
  const std::set<std::string> in_groups = {"awq", "awq_channel", "gptq4", "gptq4_asymmetric", "packed4"};
  if (!in_groups.contains(GetParam())) GTEST_SKIP() << "not in four bits, or not in groups of neighbours";
  for (const TensorInfo& info : weights()) {
    const std::vector<std::byte> bytes = bytes_of_tensor(expected_, info);
    const auto columns = static_cast<std::size_t>(info.shape[1]), count = bytes.size() / bytes_of(info.dtype);
    std::vector<float> numbers(count);
    convert_to_float(numbers.data(), bytes.data(), info.dtype, count);
    const float roundings = (info.dtype == DType::bf16 ? 0x1p-8f : 0x1p-11f) + 0x1p-11f;
    for (std::size_t row = 0; row < count; row += columns) {
      for (std::size_t begin = 0; begin < columns; begin += kInt4Group) {
        const std::span group = std::span(numbers).subspan(row + begin, std::min<std::size_t>(kInt4Group, columns - begin));
        const Int4Group kept = round_to_int4(group);
        float largest = 0, error = 0;
        for (std::size_t i = 0; i < group.size(); ++i) {
          largest = std::max(largest, std::abs(group[i]));
          error = std::max(error, std::abs(kept.value(i) - group[i]));
        }
        ASSERT_LE(error, roundings * largest) << info.name << ", element " << row + begin;
      }
    }
  }
}

// Weights are read a few rows at a time, by shards of a model even some columns.
TEST_P(Quantised, IsTheSameInWhateverPartsAWeightIsRead) {
  const Result<ModelFolder> folder = open_model_folder(golden_folder(name_));
  ASSERT_TRUE(folder) << folder.error().message;
  std::mt19937 random(3);
  for (const TensorInfo& info : weights()) {
    const std::vector<std::byte> expected = bytes_of_tensor(expected_, info);
    const std::size_t element = bytes_of(info.dtype), count = expected.size() / element;
    for (int i = 0; i < 20; ++i) {
      const std::size_t begin = random() % count, length = 1 + random() % std::min<std::size_t>(count - begin, 700);
      std::vector<std::byte> found(length * element);
      ASSERT_TRUE(folder->files.read_part(*folder->files.find(info.name), begin * element, found));
      ASSERT_TRUE(std::equal(found.begin(), found.end(), expected.begin() + static_cast<std::ptrdiff_t>(begin * element)))
          << info.name << " from " << begin;
    }
  }
}

TEST_P(Quantised, GivesTheLogitsOfTransformersWithAnAdapter) {
  const Expected expected(name_);
  for (const BackendCase& backend : {BackendCase{"reference", true, 1e-4}, BackendCase{"cpu", false}}) {
    GoldenModel model(name_, {.backend = backend.backend});
    expect_close(model.run_alone(expected.tokens("ids"), model.adapter(kAdapter)), expected.floats("logits"), backend, name_);
  }
}

TEST_P(Quantised, IsMergedIntoAPlainFolder) {
  const Expected expected(name_);
  const TemporaryFolder folder;
  const auto base = std::make_shared<const ModelFolder>(open_model_folder(golden_folder(name_)).value());
  const Result<MergeReport> report = write_merged_model(
      base, {.base_folder = golden_folder(name_), .adapter = kAdapter, .out = folder.file("merged"), .dtype = DType::f32});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_FALSE(read_json_file(folder.file("merged/config.json"))->contains("quantization_config"));
  GoldenModel merged(folder.file("merged"), {.backend = "reference"});
  expect_close(merged.run_alone(expected.tokens("ids")), expected.floats("logits"), {"reference", true, 1e-4}, name_);
}

INSTANTIATE_TEST_SUITE_P(EveryForm, Quantised, ::testing::ValuesIn(quantised_models()), [](const auto& test) { return test.param; });

TEST(QuantisedModels, AreOfEveryForm) { EXPECT_EQ(quantised_models().size(), 25u); }

TEST(QuantisedModels, AreNotRoundedToNf4) {
  const Result<ModelFolder> folder = open_model_folder(golden_folder("quantised/awq"), WeightRounding::nf4);
  ASSERT_FALSE(folder);
  EXPECT_THAT(folder.error().message, HasSubstr("expected plain numbers to round to NF4, found them quantised"));
}

TEST(QuantisedModels, AreCutIntoShards) {
  for (const std::string form : {"gptq4_act_order", "awq", "packed4", "fp8", "nf4_double"}) {
    const Expected expected("quantised/" + form);
    GoldenModel model("quantised/" + form, {.backend = "reference", .shards = 2});
    expect_close(model.run_alone(expected.tokens("ids"), model.adapter(kAdapter)), expected.floats("logits"), {"reference", true, 1e-4},
                 form);
  }
}

}  // namespace
}  // namespace slora::testing
