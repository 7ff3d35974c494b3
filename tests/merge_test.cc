// Models with an adapter in their weights, against what PEFT computes with that adapter on the base.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "formats/model_folder.h"
#include "formats/safetensors_writer.h"
#include "formats/temporary_folder.h"
#include "golden_model.h"
#include "merge/merged_model.h"

namespace slora::testing {
namespace {

namespace fs = std::filesystem;

using ::testing::HasSubstr;

std::shared_ptr<const ModelFolder> open_golden(const std::string& name) {
  Result<ModelFolder> opened = open_model_folder(golden_folder(name));
  check(opened.has_value(), "expected a golden model");
  return std::make_shared<const ModelFolder>(std::move(*opened));
}

Result<MergeReport> merge(const std::string& model, const std::string& adapter, const std::string& out,
                          std::optional<DType> dtype = DType::f32, float weight = 1) {
  return write_merged_model(
      open_golden(model),
      {.base_folder = golden_folder(model), .adapter = golden_folder(model) + "/" + adapter, .out = out, .weight = weight, .dtype = dtype});
}

// Why an adapter of the golden models can't be merged; it is a part of the message. All others can.
const std::map<std::string, std::string> kRefused = {
    {"qwen2_bias/lora_bias", "gives it a bias, and the config of a qwen2 model cannot say that it has one"},
    {"families/grown_emb_lora", "tokens of its own"},
    {"families/grown_mts", "tokens of its own"},
    {"families/grown_tokens", "tokens of its own"},
    {"families_tied/grown_tokens_tied", "tokens of its own"},
    {"gemma3/all_linear_r5", "would lack the tensors that read images"},
    {"gemma3/all_with_images_r3", "would lack the tensors that read images"},
    {"gemma3/q_v_r4", "would lack the tensors that read images"},
    {"qwen3_norms/lora_bias", "gives it a bias, and the config of a qwen3 model cannot say that it has one"},
};

constexpr BackendCase kReference{"reference", true};

// Gemma rounds the factor of its embedding to the type that config.json names: here to that of the base, though the weights are F32.
void take_scale_of_embedding(const std::string& merged, const std::string& base) {
  const ModelConfig config = *read_model_config(golden_folder(base));
  if (!traits_of(config.family).scales_embedding) return;
  Json json = *read_json_file(merged + "/config.json", {});
  json["dtype"] = json["torch_dtype"] = config.dtype;
  std::ofstream(merged + "/config.json") << json.dump();
}

class MergedModel : public ::testing::TestWithParam<std::string> {};

TEST_P(MergedModel, HasTheLogitsOfTheBaseWithTheAdapter) {
  const std::string model_name = GetParam();
  const Expected expected(model_name);
  int compared = 0;
  for (const auto& entry : fs::directory_iterator(golden_folder(model_name) + "/adapters")) {
    const std::string adapter = entry.path().filename().string();
    SCOPED_TRACE(adapter);
    const TemporaryFolder folder;
    const Result<MergeReport> report = merge(model_name, "adapters/" + adapter, folder.file("merged"));
    if (const auto refused = kRefused.find(model_name + "/" + adapter); refused != kRefused.end()) {
      ASSERT_FALSE(report.has_value());
      EXPECT_EQ(report.error().code, "E_UNSUPPORTED_OPTION");
      EXPECT_THAT(report.error().message, HasSubstr(refused->second));
      EXPECT_FALSE(fs::exists(folder.file("merged")));
      ++compared;
      continue;
    }
    ASSERT_TRUE(report.has_value()) << report.error().message;
    EXPECT_GT(report->changed_count, 0u);
    take_scale_of_embedding(folder.file("merged"), model_name);
    GoldenModel merged(folder.file("merged"), {.backend = kReference.backend});
    for (const std::string& name : expected.names_with("logits." + adapter + ".")) {
      const std::string prompt = name.substr(name.rfind('.') + 1);
      expect_close(merged.run_alone(expected.tokens("ids." + prompt)), expected.floats(name), kReference, name);
      ++compared;
    }
    if (expected.has("logits_tail." + adapter)) {
      expect_close(merged.run_alone(expected.tokens("ids." + adapter)), expected.floats("logits_tail." + adapter), kReference, adapter);
      ++compared;
    }
  }
  EXPECT_GT(compared, 0);
}

INSTANTIATE_TEST_SUITE_P(Models, MergedModel, ::testing::ValuesIn(golden_models_with("adapters")),
                         [](const auto& test) { return test.param; });

// Half of what the adapter adds, as a weight of 0.5 in a request.
TEST(Merge, TakesAWeightForWhatOnlyAdds) {
  const TemporaryFolder folder;
  ASSERT_TRUE(merge("llama2_mha", "adapters/all_linear_r16_bf16", folder.file("half"), std::nullopt, 0.5f));
  ASSERT_TRUE(merge("llama2_mha", "adapters/all_linear_r16_bf16", folder.file("whole")));
  const Result<ModelFiles> base = ModelFiles::open(golden_folder("llama2_mha"));
  const Result<ModelFiles> half = ModelFiles::open(folder.file("half")), whole = ModelFiles::open(folder.file("whole"));
  ASSERT_TRUE(base && half && whole);
  const auto numbers = [](const ModelFiles& files) {
    const ModelTensor* const tensor = files.find("model.layers.1.mlp.down_proj.weight");
    std::vector<float> out(tensor->info.bytes / sizeof(float));
    EXPECT_EQ(tensor->info.dtype, DType::f32);
    EXPECT_TRUE(files.read(*tensor, std::as_writable_bytes(std::span(out))));
    return out;
  };
  const std::vector<float> of_base = numbers(*base), of_half = numbers(*half), of_whole = numbers(*whole);
  float largest = 0;
  for (std::size_t i = 0; i < of_base.size(); ++i) {
    EXPECT_NEAR(of_half[i] - of_base[i], (of_whole[i] - of_base[i]) / 2, 1e-6f);
    largest = std::max(largest, std::abs(of_whole[i] - of_base[i]));
  }
  EXPECT_GT(largest, 0.1f);
  for (const char* adapter : {"dora", "ia3_bias", "mts_norm", "adalora_full", "tokens_list"}) {
    const Result<MergeReport> refused = merge("families", std::string("adapters/") + adapter, folder.file(adapter), DType::f32, 0.5f);
    ASSERT_FALSE(refused) << adapter;
    EXPECT_EQ(refused.error().code, "E_UNSUPPORTED_OPTION");
    EXPECT_THAT(refused.error().message, HasSubstr("--weight 0.5"));
  }
  for (const float weight : {0.0f, 1001.0f, std::numeric_limits<float>::quiet_NaN()})
    EXPECT_EQ(merge("llama2_mha", "adapters/q_v_r8", folder.file("odd"), std::nullopt, weight).error().code, "bad_option") << weight;
}

TEST(Merge, RefusesWhatActsOnSomeTokensOnly) {
  const TemporaryFolder folder;
  const Result<MergeReport> refused = merge("mix32", "activated/every", folder.file("merged"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "E_UNSUPPORTED_OPTION");
  EXPECT_THAT(refused.error().message, HasSubstr("alora_invocation_tokens"));
}

TEST(Merge, RefusesWhatTheServerRefusesForTheSameReason) {
  const TemporaryFolder folder;
  const Result<MergeReport> wrong_base = write_merged_model(
      open_golden("mix32"),
      {.base_folder = golden_folder("mix32"), .adapter = golden_folder("families") + "/adapters/dora", .out = folder.file("merged")});
  ASSERT_FALSE(wrong_base);
  EXPECT_EQ(wrong_base.error().code, "E_WRONG_BASE") << wrong_base.error().message;
}

// Names of the tensors of a model folder.
std::set<std::string> names_of(const std::string& folder) {
  const Result<ModelFiles> files = ModelFiles::open(folder);
  check(files.has_value(), "expected a model folder");
  std::set<std::string> names;
  for (const ModelTensor& tensor : files->tensors()) names.insert(tensor.info.name);
  return names;
}

// A table that is embedding and head stays one only where both change alike.
TEST(Merge, UntiesTheEmbeddingsWhereOneSideChanges) {
  const TemporaryFolder folder;
  ASSERT_TRUE(merge("families_tied", "adapters/mts_embed_tied", folder.file("untied")));
  EXPECT_TRUE(names_of(folder.file("untied")).contains("lm_head.weight"));
  EXPECT_FALSE(read_model_config(folder.file("untied"))->tie_embeddings);
  ASSERT_TRUE(merge("families_tied", "adapters/tokens_tied", folder.file("tied")));
  EXPECT_FALSE(names_of(folder.file("tied")).contains("lm_head.weight"));
  EXPECT_TRUE(read_model_config(folder.file("tied"))->tie_embeddings);
}

// config.json has one flag for four modules of all layers, so the others get zeros.
TEST(Merge, GivesTheConfigFlagsForNewBiases) {
  const TemporaryFolder folder;
  ASSERT_TRUE(merge("mix32", "adapters/a34_lora_bias", folder.file("merged")));
  const ModelConfig config = read_model_config(folder.file("merged")).value();
  EXPECT_TRUE(config.qkv_bias && config.o_bias && config.mlp_bias);
  const std::set<std::string> names = names_of(folder.file("merged"));
  for (const char* bias : {"0.self_attn.q_proj", "1.self_attn.o_proj", "1.mlp.gate_proj", "0.mlp.down_proj"})
    EXPECT_TRUE(names.contains(std::string("model.layers.") + bias + ".bias")) << bias;
}

std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// An adapter of one layer, made for a base in several files.
TEST(Merge, KeepsTheFilesAndTheTypesOfTheBase) {
  const TemporaryFolder folder;
  const std::string base = golden_folder("llama_sharded");
  const ModelConfig config = read_model_config(base).value();
  const auto hidden = static_cast<std::size_t>(config.hidden_size);
  const std::vector<float> ones(hidden, 1.0f);
  const auto width = static_cast<std::int64_t>(hidden);
  const std::string module = "base_model.model.model.layers.1.mlp.down_proj.lora_";
  const std::vector<float> a(static_cast<std::size_t>(config.intermediate_size), 0.25f);
  fs::create_directories(folder.file("adapter"));
  ASSERT_TRUE(write_safetensors(folder.file("adapter/adapter_model.safetensors"),
                                {tensor_to_write(module + "A.weight", DType::f32, {1, config.intermediate_size}, a),
                                 tensor_to_write(module + "B.weight", DType::f32, {width, 1}, ones)}));
  std::ofstream(folder.file("adapter/adapter_config.json")) << R"({"peft_type": "LORA", "r": 1, "lora_alpha": 1})";
  const Result<MergeReport> report = write_merged_model(
      open_golden("llama_sharded"), {.base_folder = base, .adapter = folder.file("adapter"), .out = folder.file("merged")});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->changed_count, 1u);
  EXPECT_EQ(text_of(folder.file("merged/config.json")), text_of(base + "/config.json"));
  EXPECT_EQ(text_of(folder.file("merged/generation_config.json")), text_of(base + "/generation_config.json"));
  const Result<ModelFiles> before = ModelFiles::open(base), after = ModelFiles::open(folder.file("merged"));
  ASSERT_TRUE(before && after);
  EXPECT_TRUE(after->warnings().empty()) << after->warnings().front();
  ASSERT_EQ(before->tensors().size(), after->tensors().size());
  std::vector<std::string> changed;
  for (const ModelTensor& tensor : before->tensors()) {
    const ModelTensor* const other = after->find(tensor.info.name);
    ASSERT_NE(other, nullptr) << tensor.info.name;
    EXPECT_EQ(after->file_of(*other), before->file_of(tensor));
    EXPECT_EQ(other->info.dtype, tensor.info.dtype);
    std::vector<std::byte> old_bytes(tensor.info.bytes), new_bytes(other->info.bytes);
    ASSERT_TRUE(before->read(tensor, old_bytes) && after->read(*other, new_bytes));
    if (old_bytes != new_bytes) changed.push_back(tensor.info.name);
  }
  EXPECT_EQ(changed, (std::vector<std::string>{"model.layers.1.mlp.down_proj.weight"}));
}

// Of weights near 0.1 that change by about 0.001, bf16 keeps little; fp32 nearly all.
TEST(Merge, TellsHowMuchOfTheChangeRoundingLoses) {
  const TemporaryFolder folder;
  const MergeRounding exact = merge("families", "adapters/dora", folder.file("f32"))->rounding;
  const MergeRounding rounded = merge("families", "adapters/dora", folder.file("bf16"), DType::bf16)->rounding;
  EXPECT_GT(exact.change, 0);
  EXPECT_EQ(exact.change, rounded.change);
  EXPECT_LT(exact.share(), 1e-6);
  EXPECT_GT(rounded.share(), 1e-4);
  const MergeRounding small = merge("llama2_mha", "adapters/q_v_r8", folder.file("small"), DType::bf16, 0.001f)->rounding;
  EXPECT_GT(small.share(), 0.5) << "most of a change that small is lost";
}

TEST(Merge, WritesNothingWhereItMayNot) {
  const TemporaryFolder folder;
  const std::string base = folder.file("base"), adapter = folder.file("adapter");
  fs::copy(golden_folder("llama2_mha"), base, fs::copy_options::recursive);
  fs::rename(base + "/adapters/q_v_r8", adapter);
  folder.write("file", "a file");
  fs::create_directory(folder.file("empty"));
  fs::create_symlink("nowhere", folder.file("dangling"));
  fs::create_directory_symlink(base, folder.file("to_base"));
  const auto code_of = [&](const std::string& out) {
    const Result<MergeReport> report = write_merged_model(open_golden("llama2_mha"), {.base_folder = base, .adapter = adapter, .out = out});
    return report ? "merged" : report.error().code;
  };
  EXPECT_EQ(code_of(base), "bad_option");
  EXPECT_EQ(code_of(base + "/merged"), "bad_option");
  EXPECT_EQ(code_of(folder.file("to_base") + "/merged"), "bad_option");
  EXPECT_EQ(code_of(folder.file("empty") + "/../base/merged/"), "bad_option");
  EXPECT_EQ(code_of(adapter + "/merged"), "bad_option");
  for (const char* taken : {"file", "empty", "empty/", "dangling", "."}) EXPECT_EQ(code_of(folder.file(taken)), "E_EXISTS") << taken;
  EXPECT_EQ(code_of(folder.file("missing/merged")), "E_WRITE");
  EXPECT_EQ(code_of(folder.file("file/merged")), "E_WRITE");
  EXPECT_EQ(code_of("/proc/merged"), "E_WRITE");
  EXPECT_EQ(code_of(""), "E_WRITE");
  EXPECT_EQ(code_of(folder.file("merged/")), "merged");
  std::set<std::string> left;
  for (const auto& entry : fs::directory_iterator(folder.path())) left.insert(entry.path().filename().string());
  EXPECT_EQ(left, (std::set<std::string>{"adapter", "base", "dangling", "empty", "file", "merged", "to_base"}));
}

// The largest size of a file stands for a full disk.
TEST(Merge, LeavesNothingWhenTheDiskIsFull) {
  const TemporaryFolder folder;
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{100'000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const Result<MergeReport> report = merge("families", "adapters/dora", folder.file("merged"));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, ignored);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, "E_WRITE");
  EXPECT_EQ(report.error().message, "model.safetensors: can't be written: File too large");
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(Merge, StopsWithoutATrace) {
  const TemporaryFolder folder;
  const std::atomic<bool> stop = true;
  const Result<MergeReport> report = write_merged_model(open_golden("families"), {.base_folder = golden_folder("families"),
                                                                                  .adapter = golden_folder("families") + "/adapters/dora",
                                                                                  .out = folder.file("merged"),
                                                                                  .stop = &stop});
  EXPECT_EQ(report.error().code, "E_STOPPED");
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

}  // namespace
}  // namespace slora::testing
