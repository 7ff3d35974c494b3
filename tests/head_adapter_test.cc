// An adapter of lm_head against a base whose lm_head was merged with it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "formats/model_files.h"
#include "formats/safetensors_writer.h"
#include "formats/temporary_folder.h"
#include "golden_model.h"

namespace slora::testing {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kRank = 3;
constexpr float kScale = 2;  // lora_alpha / r

std::vector<TensorToWrite> read_all(const std::string& folder) {
  const Result<ModelFiles> files = ModelFiles::open(folder);
  check(files.has_value(), "a golden model");
  std::vector<TensorToWrite> out;
  for (const ModelTensor& tensor : files->tensors()) {
    TensorToWrite copy{tensor.info.name, tensor.info.dtype, tensor.info.shape, std::vector<std::byte>(tensor.info.bytes)};
    check(files->read(tensor, copy.bytes).has_value(), "readable golden data");
    out.push_back(std::move(copy));
  }
  return out;
}

TEST(HeadAdapter, EqualsABaseWithTheMergedHead) {
  const std::string golden = golden_folder("llama2_mha");
  const TemporaryFolder folder;
  const fs::path plain = fs::path(folder.path()) / "plain", merged = fs::path(folder.path()) / "merged";
  fs::create_directories(plain / "adapters" / "head");
  fs::create_directories(merged);
  for (const fs::path& copy : {plain, merged}) fs::copy_file(fs::path(golden) / "config.json", copy / "config.json");

  std::vector<TensorToWrite> tensors = read_all(golden);
  ASSERT_TRUE(write_safetensors((plain / "model.safetensors").string(), tensors).has_value());
  const auto head = std::ranges::find(tensors, "lm_head.weight", &TensorToWrite::name);
  ASSERT_NE(head, tensors.end());
  ASSERT_EQ(head->dtype, DType::f32);
  const std::int64_t vocab = head->shape[0], hidden = head->shape[1];

  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 0.2f);
  std::vector<float> a(static_cast<std::size_t>(kRank * hidden)), b(static_cast<std::size_t>(vocab * kRank));
  for (float& value : a) value = normal(random);
  for (float& value : b) value = normal(random);
  ASSERT_TRUE(write_safetensors((plain / "adapters" / "head" / "adapter_model.safetensors").string(),
                                {tensor_to_write("base_model.model.lm_head.lora_A.weight", DType::f32, {kRank, hidden}, a),
                                 tensor_to_write("base_model.model.lm_head.lora_B.weight", DType::f32, {vocab, kRank}, b)})
                  .has_value());
  std::ofstream(plain / "adapters" / "head" / "adapter_config.json")
      << R"({"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 3, "lora_alpha": 6, "target_modules": ["lm_head"]})";

  std::vector<float> weight(static_cast<std::size_t>(vocab * hidden));
  std::memcpy(weight.data(), head->bytes.data(), head->bytes.size());
  for (std::int64_t v = 0; v < vocab; ++v) {
    for (std::int64_t k = 0; k < hidden; ++k) {
      for (std::int64_t r = 0; r < kRank; ++r) {
        weight[static_cast<std::size_t>(v * hidden + k)] +=
            kScale * b[static_cast<std::size_t>(v * kRank + r)] * a[static_cast<std::size_t>(r * hidden + k)];
      }
    }
  }
  *head = tensor_to_write("lm_head.weight", DType::f32, {vocab, hidden}, weight);
  ASSERT_TRUE(write_safetensors((merged / "model.safetensors").string(), tensors).has_value());

  const std::vector<TokenId> prompt = Expected("llama2_mha").tokens("ids.2");
  for (const char* backend : {"reference", "cpu"}) {
    GoldenModel adapted(plain.string(), {.backend = backend}), expected(merged.string(), {.backend = backend});
    const auto base = adapted.run_alone(prompt);
    const auto truth = expected.run_alone(prompt);
    // Between two base rows, so that only its own rows may change.
    const auto rows = adapted.run({{1, prompt, nullptr}, {2, prompt, adapted.adapter("head")}, {3, prompt, nullptr}});
    double largest = 0, effect = 0;
    for (std::size_t i = 0; i < prompt.size(); ++i) {
      EXPECT_EQ(rows[i], base[i]);
      EXPECT_EQ(rows[i + 2 * prompt.size()], base[i]);
      for (std::size_t v = 0; v < truth[i].size(); ++v) {
        largest = std::max<double>(largest, std::abs(rows[i + prompt.size()][v] - truth[i][v]));
        effect = std::max<double>(effect, std::abs(base[i][v] - truth[i][v]));
      }
    }
    EXPECT_GT(effect, 0.5);
    EXPECT_LT(largest, std::string(backend) == "reference" ? 1e-4 : 2e-2 * effect + 2e-2) << backend;
  }
}

}  // namespace
}  // namespace slora::testing
