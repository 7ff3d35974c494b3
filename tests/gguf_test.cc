// Base models in GGUF files, and adapters of PEFT on them, against transformers and PEFT with the numbers that the files keep:
// tools/golden_gguf.py makes the data.
#include <gtest/gtest.h>

#include "golden_model.h"

namespace slora::testing {
namespace {

// Name of a folder, and how many tensors the file keeps in each type.
struct GgufCase {
  const char* name;
  const char* types;
};

class GgufModels : public ::testing::TestWithParam<std::tuple<GgufCase, BackendCase>> {
 protected:
  const std::string folder_ = golden_folder(std::string("gguf/") + std::get<0>(GetParam()).name);
  const BackendCase backend_ = std::get<1>(GetParam());
  Expected expected_{folder_};
  GoldenModel model_{folder_ + "/model.gguf", {.backend = backend_.backend}};
};

TEST_P(GgufModels, HaveTheLogitsOfTransformers) {
  for (const std::string prompt : {"0", "1", "2", "3"})
    expect_close(model_.run_alone(expected_.tokens("ids." + prompt)), expected_.floats("logits." + prompt), backend_, prompt);
}

TEST_P(GgufModels, HaveTheLogitsOfPeftWithAnAdapter) {
  const AdapterView* const adapter = model_.adapter(folder_ + "/adapters/lora");
  for (const std::string prompt : {"0", "1", "2", "3"})
    expect_close(model_.run_alone(expected_.tokens("ids." + prompt), adapter), expected_.floats("logits.lora." + prompt), backend_, prompt);
}

TEST_P(GgufModels, SayWhatTheyKeepTheirTensorsIn) {
  const Result<ModelFolder> opened = open_model_folder(folder_ + "/model.gguf");
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(shown_stored_types(opened->files), std::get<0>(GetParam()).types);
  EXPECT_TRUE(opened->config.warnings.empty()) << opened->config.warnings.front();
}

const auto kCases =
    ::testing::Values(GgufCase{"llama_q4_0", "5 in F32, 16 in Q4_0"}, GgufCase{"llama_q8_0", "5 in F32, 16 in Q8_0"},
                      GgufCase{"llama_q4_k", "3 in F32, 5 in Q4_K, 3 in Q6_K"}, GgufCase{"qwen2_f16", "15 in F16, 11 in F32"},
                      GgufCase{"qwen3_q5_1", "1 in BF16, 9 in F32, 15 in Q5_1"}, GgufCase{"gemma2_q8_0", "9 in F32, 15 in Q8_0"},
                      GgufCase{"gemma3_f16", "43 in F16, 37 in F32"}, GgufCase{"granite_q8_0", "5 in F32, 15 in Q8_0"},
                      GgufCase{"smollm3_f16", "30 in F16, 9 in F32"}, GgufCase{"olmo2_f16", "16 in F16, 9 in F32"},
                      GgufCase{"phi3_q8_0", "5 in F32, 10 in Q8_0"});
INSTANTIATE_TEST_SUITE_P(All, GgufModels,
                         ::testing::Combine(kCases, ::testing::Values(BackendCase{"reference", true, 1e-4}, BackendCase{"cpu", false})),
                         [](const auto& test) {
                           return fmt::format("{}_{}", std::get<0>(test.param).name, std::get<1>(test.param).backend);
                         });

// Blocks of Q4_0 are groups of int4, so nothing is rounded: not one bit of the logits differs.
TEST(GgufInt4, KeepsAFileInFourBits) {
  const std::string folder = golden_folder("gguf/llama_q4_0");
  GoldenModel widened(folder + "/model.gguf", {.backend = "reference"});
  GoldenModel kept(folder + "/model.gguf", {.backend = "reference", .weights = WeightStorage::int4});
  const Expected expected(folder);
  for (const std::string prompt : {"0", "1", "2", "3"})
    EXPECT_EQ(kept.run_alone(expected.tokens("ids." + prompt)), widened.run_alone(expected.tokens("ids." + prompt))) << prompt;
}

TEST(GgufShards, AreOneModel) {
  const Expected expected(golden_folder("gguf/llama_q4_0"));
  for (const char* shard : {"model-00001-of-00003.gguf", "model-00003-of-00003.gguf"}) {
    GoldenModel model(golden_folder("gguf/shards") + "/" + shard, {});
    expect_close(model.run_alone(expected.tokens("ids.2")), expected.floats("logits.2"), {"reference", true, 1e-4}, shard);
  }
}

}  // namespace
}  // namespace slora::testing
