// The base as adapters of QLoRA had it in training, against bitsandbytes and PEFT: tools/golden_nf4.py makes the data.
#include <gtest/gtest.h>

#include <random>

#include "formats/model_files.h"
#include "formats/temporary_folder.h"
#include "golden_model.h"
#include "merge/merged_model.h"

namespace slora::testing {
namespace {

class Nf4 : public ::testing::Test {
 protected:
  Result<ModelFiles> files_ = ModelFiles::open(golden_folder("nf4"));
  Result<SafetensorsFile> expected_ = SafetensorsFile::open(golden_folder("nf4") + "/expected.safetensors");

  [[nodiscard]] std::vector<std::byte> expected_bytes(const std::string& name) const {
    const TensorInfo* const info = expected_->find(name);
    check(info != nullptr, "expected golden data");
    std::vector<std::byte> bytes(info->bytes);
    check(expected_->read(*info, bytes).has_value(), "expected readable golden data");
    return bytes;
  }

  void read_as_nf4(const std::string& name) {
    const ModelTensor& tensor = *files_->find(name);
    files_->read_through(name, tensor.info, nf4_rounded(files_->stored(tensor)));
  }
};

TEST_F(Nf4, KeepsOfWeightsWhatBitsandbytesKeepsToTheBit) {
  ASSERT_TRUE(files_ && expected_);
  std::vector<std::string> names;
  for (const ModelTensor& tensor : files_->tensors()) names.push_back(tensor.info.name);
  ASSERT_EQ(names.size(), 7u);
  for (const std::string& name : names) {
    const std::vector<std::byte> expected = expected_bytes(name);
    std::vector<std::byte> found(files_->find(name)->info.bytes);
    ASSERT_TRUE(files_->read(*files_->find(name), found));
    EXPECT_NE(found, expected) << name << " as it is stored";
    read_as_nf4(name);
    ASSERT_TRUE(files_->read(*files_->find(name), found));
    EXPECT_EQ(found, expected) << name;
  }
}

// Weights are read a few rows at a time, which need not begin or end with a block.
TEST_F(Nf4, IsTheSameInWhateverPartsAWeightIsRead) {
  std::mt19937 random(3);
  for (const std::string name : {"bf16", "short_block", "outliers"}) {
    read_as_nf4(name);
    const ModelTensor& tensor = *files_->find(name);
    const std::vector<std::byte> expected = expected_bytes(name);
    const std::size_t element = bytes_of(tensor.info.dtype), count = expected.size() / element;
    for (int i = 0; i < 200; ++i) {
      const std::size_t begin = random() % count, length = 1 + random() % std::min<std::size_t>(count - begin, 150);
      std::vector<std::byte> found(length * element);
      ASSERT_TRUE(files_->read_part(tensor, begin * element, found));
      const auto from = expected.begin() + static_cast<std::ptrdiff_t>(begin * element);
      ASSERT_TRUE(std::equal(found.begin(), found.end(), from)) << name << " from " << begin;
    }
  }
}

const std::vector<std::string> kAdapters = {"adalora_full", "dora", "dora_lm_head", "hira"};

// Norms of DoRA are those of the rounded weights (QDoRA), except that the head is not rounded.
TEST_F(Nf4, GivesTheLogitsOfPeftOnARoundedBase) {
  const Expected ids("families"), expected("nf4");
  for (const BackendCase& backend : {BackendCase{"reference", true}, BackendCase{"cpu", false}}) {
    GoldenModel model("families", {.backend = backend.backend, .rounding = WeightRounding::nf4});
    for (const std::string& adapter : kAdapters) {
      expect_close(model.run_alone(ids.tokens("ids." + adapter), model.adapter(adapter)), expected.floats("logits." + adapter), backend,
                   std::string(backend.backend) + " " + adapter);
    }
  }
}

TEST_F(Nf4, IsMergedAsItIsServed) {
  const Expected ids("families"), expected("nf4");
  for (const std::string& adapter : kAdapters) {
    const TemporaryFolder folder;
    const auto base = std::make_shared<const ModelFolder>(open_model_folder(golden_folder("families"), WeightRounding::nf4).value());
    const Result<MergeReport> report = write_merged_model(base, {.base_folder = golden_folder("families"),
                                                                 .adapter = golden_folder("families") + "/adapters/" + adapter,
                                                                 .out = folder.file("merged"),
                                                                 .dtype = DType::f32});
    ASSERT_TRUE(report) << report.error().message;
    GoldenModel merged(folder.file("merged"), {.backend = "reference"});
    expect_close(merged.run_alone(ids.tokens("ids." + adapter)), expected.floats("logits." + adapter), {"reference", true}, adapter);
  }
}

TEST_F(Nf4, LeavesEmbeddingHeadGainsAndBiasesAsTheyAre) {
  const ModelFolder folder = open_model_folder(golden_folder("families"), WeightRounding::nf4).value();
  int rounded = 0;
  for (const ModelTensor& tensor : folder.files.tensors()) {
    EXPECT_EQ(tensor.form != nullptr, tensor.info.name.ends_with("_proj.weight")) << tensor.info.name;
    rounded += tensor.form != nullptr ? 1 : 0;
  }
  EXPECT_EQ(rounded, 2 * 7);
  EXPECT_EQ(open_model_folder(golden_folder("families"))->files.find("model.layers.0.mlp.up_proj.weight")->form, nullptr);
}

}  // namespace
}  // namespace slora::testing
