// Model and adapter folders as people reported them, against transformers and PEFT: tools/golden_reports.py made the expected logits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

#include "base/testing/source_path.h"
#include "formats/model_folder.h"
#include "formats/safetensors_writer.h"
#include "formats/temporary_folder.h"
#include "golden_model.h"

namespace slora::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr const char* kEmbedding = "model.embed_tokens.weight";
constexpr const char* kHead = "lm_head.weight";

std::string reports(const std::string& path) { return source_path("tests/golden/reports/" + path); }

std::string text_of(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

std::vector<TensorToWrite> tensors_of(const std::string& path) {
  const Result<SafetensorsFile> file = SafetensorsFile::open(path);
  EXPECT_TRUE(file) << path;
  std::vector<TensorToWrite> tensors;
  for (const TensorInfo& info : file->tensors()) {
    TensorToWrite& tensor = tensors.emplace_back(TensorToWrite{info.name, info.dtype, info.shape, std::vector<std::byte>(info.bytes)});
    EXPECT_TRUE(file->read(info, tensor.bytes));
  }
  return tensors;
}

TensorToWrite& named(std::vector<TensorToWrite>& tensors, std::string_view name) {
  const auto at = std::ranges::find(tensors, name, &TensorToWrite::name);
  EXPECT_NE(at, tensors.end()) << name;
  return *at;
}

void remove(std::vector<TensorToWrite>& tensors, std::string_view name) {
  std::erase_if(tensors, [&](const TensorToWrite& tensor) { return tensor.name == name; });
}

// The base's config with members added before its end.
std::string base_config_with(const std::string& members) {
  std::string config = text_of(reports("base/config.json"));
  config.erase(config.find_last_of('}'));
  for (const char* key : {"tie_word_embeddings", "attention_bias", "mlp_bias", "architectures"}) {
    if (members.find(key) == std::string::npos) continue;
    const std::size_t begin = config.find(std::string("\"") + key + "\"");
    const std::size_t end = config.find(std::string_view(key) == "architectures" ? "]," : ",", begin);
    config.erase(begin, config.find(',', end) + 1 - begin);
  }
  return config + ", " + members + "}";
}

struct ModelCase {
  std::string name;                                              // of the folder's kind
  std::string expected;                                          // the name of the logits
  std::string warning;                                           // part of it; empty: none
  std::function<std::string(std::vector<TensorToWrite>&)> make;  // changes the base's tensors and returns the config
};

std::string unchanged(std::vector<TensorToWrite>&) { return text_of(reports("base/config.json")); }

const std::vector<ModelCase>& model_cases() {
  static const std::vector<ModelCase> cases = {
      {"tied_two_tables", "tied_two_tables", "differ: both are used", [](auto&) { return text_of(reports("tied_two_tables.json")); }},
      {"tied_equal_tables", "tied_equal_tables", "",
       [](auto& tensors) {
         named(tensors, kHead).bytes = named(tensors, kEmbedding).bytes;
         return base_config_with(R"("tie_word_embeddings": true)");
       }},
      {"tied_head_only", "tied_head_only", "",
       [](auto& tensors) {
         remove(tensors, kEmbedding);
         return base_config_with(R"("tie_word_embeddings": true)");
       }},
      {"tied_without_prefix", "tied_without_prefix", "without \"model.\"",
       [](auto& tensors) {
         remove(tensors, kHead);
         for (TensorToWrite& tensor : tensors) tensor.name = tensor.name.substr(6);
         return base_config_with(R"("tie_word_embeddings": true)");
       }},
      {"biases_in_config_only", "biases_in_config_only", "hold no such bias",
       [](auto&) { return base_config_with(R"("attention_bias": true, "mlp_bias": true)"); }},
      {"llama_with_window", "llama_with_window", "sliding_window",
       [](auto&) { return base_config_with(R"("sliding_window": 3, "architectures": ["LLaMAForCausalLM"])"); }},
      {"yarn_finetuned", "yarn_finetuned", "", [](auto&) { return text_of(reports("yarn_finetuned.json")); }},
      {"old_buffers", "base", "",
       [](auto& tensors) {
         for (const char* layer : {"0", "1"}) {
           tensors.push_back(
               tensor_to_write(std::string("model.layers.") + layer + ".self_attn.rotary_emb.inv_freq", DType::f32, {4}, {1, 2, 3, 4}));
         }
         return unchanged(tensors);
       }},
      {"unknown_buffer", "base", "\"model.steps_seen\"",
       [](auto& tensors) {
         tensors.push_back(tensor_to_write("model.steps_seen", DType::f32, {1}, {7}));
         return unchanged(tensors);
       }},
      {"zero_biases", "base", "biases that are zero",
       [](auto& tensors) {
         tensors.push_back(tensor_to_write("model.layers.1.mlp.up_proj.bias", DType::f32, {48}, std::vector<float>(48, 0.0f)));
         return unchanged(tensors);
       }},
      {"unknown_keys", "base", "\"my_note\"", [](auto&) { return base_config_with(R"("my_note": {"by": "hand"})"); }},
  };
  return cases;
}

// Any of these backends.
class ReportedFolders : public ::testing::TestWithParam<BackendCase> {
 protected:
  const Expected expected_{"reports"};
  const std::vector<TokenId> prompt_ = expected_.tokens("ids");

  // Roundings add up in these random weights: transformers itself, when it computes in bf16, is off by more than 2e-2 from what it computes
  // in fp32 on the same rounded weights. A backend that computes in bf16 may be off by as much, and by no more.
  void expect_reported(const std::vector<std::vector<float>>& found, const std::string& expected, const std::string& what) const {
    if (GetParam().exact_arithmetic) return expect_close(found, expected_.floats("logits." + expected), GetParam(), what);
    const std::vector<float> wanted = expected_.floats("rounded." + expected);
    double difference = 0, reference = 0;
    std::size_t at = 0;
    for (const std::vector<float>& row : found) {
      ASSERT_LE(at + row.size(), wanted.size()) << what;
      for (const float value : row) {
        const double delta = double{value} - wanted[at];
        difference += delta * delta;
        reference += double{wanted[at]} * wanted[at];
        ++at;
      }
    }
    ASSERT_EQ(at, wanted.size()) << what;
    EXPECT_LE(std::sqrt(difference / reference), expected_.floats("bf16_error." + expected).front()) << what;
  }
};

TEST_P(ReportedFolders, OfModelsAreServedAsTransformersServesThem) {
  for (const ModelCase& reported : model_cases()) {
    SCOPED_TRACE(reported.name);
    const TemporaryFolder folder;
    std::vector<TensorToWrite> tensors = tensors_of(reports("base/model.safetensors"));
    folder.write("config.json", reported.make(tensors));
    ASSERT_TRUE(write_safetensors(folder.file("model.safetensors"), tensors));
    const Result<ModelFolder> opened = open_model_folder(folder.path());
    ASSERT_TRUE(opened) << opened.error().message;
    const std::vector<std::string>& warnings = opened->config.warnings;
    if (reported.warning.empty()) {
      EXPECT_THAT(warnings, ::testing::IsEmpty());
    } else {
      EXPECT_THAT(warnings, ::testing::Contains(HasSubstr(reported.warning)));
    }
    GoldenModel model(folder.path(), {.backend = GetParam().backend});
    expect_reported(model.run_alone(prompt_), reported.expected, reported.name);
  }
}

TEST_P(ReportedFolders, OfShardsWithEqualCopiesAreServed) {
  const TemporaryFolder folder;
  std::vector<TensorToWrite> tensors = tensors_of(reports("base/model.safetensors"));
  folder.write("config.json", unchanged(tensors));
  std::vector<TensorToWrite> first(tensors.begin(), tensors.begin() + 12), second(tensors.begin() + 10, tensors.end());
  ASSERT_TRUE(write_safetensors(folder.file("a.safetensors"), first));
  ASSERT_TRUE(write_safetensors(folder.file("b.safetensors"), second));
  std::string map;
  for (const TensorToWrite& tensor : tensors) {
    const bool in_first = tensor.name != second.back().name && std::ranges::find(first, tensor.name, &TensorToWrite::name) != first.end();
    map += fmt::format("{}\"{}\": \"{}.safetensors\"", map.empty() ? "" : ", ", tensor.name, in_first ? "a" : "b");
  }
  folder.write("model.safetensors.index.json", fmt::format(R"({{"weight_map": {{{}}}}})", map));
  GoldenModel model(folder.path(), {.backend = GetParam().backend});
  expect_reported(model.run_alone(prompt_), "base", "shards");
}

// Writes an adapter folder with `config` and the weights of "plain" under other names.
void write_adapter(const TemporaryFolder& folder, const std::string& name, const std::string& config,
                   const std::function<std::string(const std::string&)>& rename) {
  std::vector<TensorToWrite> tensors = tensors_of(reports("plain/adapter_model.safetensors"));
  for (TensorToWrite& tensor : tensors) tensor.name = rename(tensor.name);
  folder.write(name + "/adapter_config.json", config);
  ASSERT_TRUE(write_safetensors(folder.file(name + "/adapter_model.safetensors"), tensors));
}

TEST_P(ReportedFolders, OfAdaptersAreServedAsPeftServesThemAloneAndMixed) {
  const TemporaryFolder folder;
  std::vector<std::string> names = {reports("plain"), reports("wrapped")};
  const auto add = [&](const std::string& name, const std::string& config, const std::function<std::string(const std::string&)>& rename) {
    write_adapter(folder, name, config, rename);
    names.push_back(folder.file(name));
  };
  const auto same = [](const std::string& name) { return name; };
  const auto replaced = [](std::string from, std::string to) {
    return [from, to](std::string name) { return name.replace(name.find(from), from.size(), to); };
  };
  for (const char* trainer : {"swift", "newer-peft", "from-model-config"}) {
    add(trainer, text_of(reports(std::string(trainer) + "/adapter_config.json")), same);
  }
  const std::string config = text_of(reports("plain/adapter_config.json"));
  add("ddp_compiled", config, [](const std::string& name) { return "module._orig_mod." + name; });
  add("nested_peft", config, replaced("base_model.model.", "base_model.model.base_model.model."));
  add("named_adapter", config, replaced(".weight", ".my_task.weight"));
  add("fsdp", config, replaced(".layers.", "._fsdp_wrapped_module.layers."));
  add("held_by_trl", config, [](const std::string& name) { return "pretrained_model." + name; });

  GoldenModel model(reports("base"), {.backend = GetParam().backend});
  std::vector<Piece> pieces = {{0, prompt_, nullptr}};
  for (const std::string& name : names) pieces.push_back({static_cast<int>(pieces.size()), prompt_, model.adapter(name)});
  const std::vector<std::vector<float>> rows = model.run(pieces);
  const std::vector<std::vector<float>> plain = model.run_alone(prompt_, pieces[1].adapter);
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(i * prompt_.size());
    const std::vector<std::vector<float>> own(begin, begin + static_cast<std::ptrdiff_t>(prompt_.size()));
    const std::string what = i == 0 ? "base" : names[i - 1];
    expect_reported(own, i == 0 ? "base" : "plain", what);
    EXPECT_EQ(own, model.run_alone(prompt_, pieces[i].adapter)) << what << ": the same bits alone as in the batch";
    if (i > 0) {
      EXPECT_EQ(own, plain) << what;
    }
  }
}

// Of reported folders the logits are larger, and so are the roundings of fp32.
const auto kReportBackends = ::testing::Values(BackendCase{"reference", true, 1e-4}, BackendCase{"cpu", false});
INSTANTIATE_TEST_SUITE_P(Backends, ReportedFolders, kReportBackends, [](const auto& test) { return std::string(test.param.backend); });

}  // namespace
}  // namespace slora::testing
