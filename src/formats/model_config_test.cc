#include "formats/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/testing/source_path.h"
#include "formats/temporary_folder.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Json sample(const std::string& name) {
  const Result<Json> json = read_json_file(source_path("tests/corpora/model_config/" + name + ".json"));
  EXPECT_TRUE(json) << name;
  return *json;
}
ModelConfig parsed(const std::string& name) {
  const Result<ModelConfig> config = parse_model_config(sample(name));
  EXPECT_TRUE(config) << name << ": " << (config ? "" : config.error().message);
  EXPECT_TRUE(config->warnings.empty()) << name << ": " << testing::PrintToString(config->warnings);
  return *config;
}
// The result of reading a sample config with one key changed.
std::string refusal(const std::string& name, std::string_view key, std::string_view value) {
  Json json = sample(name);
  json[std::string(key)] = *parse_json(value);
  const Result<ModelConfig> config = parse_model_config(json);
  return config ? "accepted" : config.error().code + ": " + config.error().message;
}

TEST(ModelConfig, ReadsLlama2) {
  const ModelConfig config = parsed("llama_4_llama2");
  EXPECT_EQ(config.family, Family::llama);
  EXPECT_EQ(config.vocab_size, 32000);
  EXPECT_EQ(config.layer_count, 32);
  EXPECT_EQ(config.head_dim, 128);
  EXPECT_EQ(config.kv_width(), 4096);
  EXPECT_EQ(config.max_position_embeddings, 4096);
  EXPECT_EQ(config.rms_norm_eps, 1e-5);
  EXPECT_EQ(config.rope.kind, RopeKind::default_);
  EXPECT_EQ(config.rope.theta, 10000.0);
  EXPECT_FALSE(config.tie_embeddings || config.qkv_bias || config.o_bias || config.mlp_bias || config.qk_norm);
  EXPECT_THAT(config.window, Each(0));
}

TEST(ModelConfig, ReadsLlama3OfTransformers4) {
  const ModelConfig config = parsed("llama_4_llama3");
  EXPECT_EQ(config.head_dim, 64);
  EXPECT_EQ(config.kv_width(), 512);
  EXPECT_TRUE(config.tie_embeddings);
  EXPECT_EQ(config.rope.kind, RopeKind::llama3);
  EXPECT_EQ(config.rope.factor, 32.0);
  EXPECT_EQ(config.rope.theta, 500000.0);
  EXPECT_EQ(config.rope.original_max_position, 8192);
}

TEST(ModelConfig, ReadsLlamaOfTransformers5) {
  const ModelConfig config = parsed("llama_5_llama3");
  EXPECT_EQ(config.head_dim, 24);
  EXPECT_EQ(config.q_width(), 144);
  EXPECT_TRUE(config.qkv_bias && config.o_bias && config.mlp_bias && config.tie_embeddings);
  EXPECT_EQ(config.rope.kind, RopeKind::llama3);
  EXPECT_EQ(config.rope.original_max_position, 64);
  EXPECT_EQ(parsed("llama_5_default").rope.kind, RopeKind::default_);
}

TEST(ModelConfig, ReadsMistral) {
  EXPECT_THAT(parsed("mistral_4_window").window, Each(4096));
  EXPECT_THAT(parsed("mistral_5_window").window, ElementsAre(32, 32, 32));
  EXPECT_THAT(parsed("mistral_5_full").window, Each(0));
  Json silent = sample("mistral_4_window");
  silent.erase("sliding_window");
  EXPECT_THAT(parse_model_config(silent)->window, Each(4096)) << "the reference's default";
}

TEST(ModelConfig, ReadsQwen2) {
  const ModelConfig config = parsed("qwen2_4_instruct");
  EXPECT_TRUE(config.qkv_bias);
  EXPECT_FALSE(config.o_bias);
  EXPECT_THAT(config.window, Each(0)) << "switched off";
  EXPECT_THAT(parsed("qwen2_5_yarn_window").window, ElementsAre(0, 16, 16));
  EXPECT_EQ(parsed("qwen2_5_yarn_window").rope.kind, RopeKind::yarn);
  EXPECT_THAT(parsed("qwen2_5_layer_types").window, ElementsAre(16, 0, 16));
  Json older = sample("qwen2_5_yarn_window");
  older.erase("layer_types");
  EXPECT_THAT(parse_model_config(older)->window, ElementsAre(0, 16, 16)) << "from max_window_layers";
  older.erase("max_window_layers");
  EXPECT_THAT(parse_model_config(older)->window, Each(0)) << "28 layers without a window by default";
}

TEST(ModelConfig, ReadsQwen3) {
  const ModelConfig config = parsed("qwen3_4_yarn");
  EXPECT_TRUE(config.qk_norm);
  EXPECT_FALSE(config.qkv_bias);
  EXPECT_EQ(config.q_width(), 2048);
  EXPECT_EQ(config.rope.kind, RopeKind::yarn);
  EXPECT_EQ(config.rope.theta, 1e6);
  EXPECT_EQ(parsed("qwen3_5_dynamic").rope.kind, RopeKind::dynamic);
  Json silent = sample("qwen3_4_yarn");
  silent.erase("head_dim");
  EXPECT_EQ(parse_model_config(silent)->head_dim, 128) << "not hidden / heads";
}

TEST(ModelConfig, RefusesOtherModelsByKeyAndValue) {
  EXPECT_THAT(refusal("llama_5_default", "model_type", "\"mamba\""),
              AllOf(HasSubstr("E_UNSUPPORTED_MODEL: \"model_type\": expected llama, mistral, qwen2, "), HasSubstr("found \"mamba\"")));
  EXPECT_THAT(refusal("llama_5_default", "model_type", "7"), HasSubstr("E_BAD_JSON"));
  EXPECT_THAT(refusal("llama_5_default", "architectures", R"(["LlamaForSequenceClassification"])"), HasSubstr("LlamaForCausalLM"));
  EXPECT_THAT(refusal("llama_5_default", "hidden_act", "\"relu2\""), HasSubstr("expected silu or gelu_pytorch_tanh, found \"relu2\""));
}

TEST(ModelConfig, RefusesWhatChangesTheNumbers) {
  for (const auto& [key, value] :
       {std::pair("q_lora_rank", "8"), std::pair("num_experts", "8"), std::pair("attn_logit_softcapping", "50.0"),
        std::pair("residual_multiplier", "0.22"), std::pair("vision_config", R"({"a":1})"), std::pair("use_mrope", "true"),
        std::pair("mlp_bias", "true"), std::pair("rope_scaling", R"({"type":"longrope"})")}) {
    EXPECT_THAT(refusal("qwen2_4_instruct", key, value), HasSubstr("E_UNSUPPORTED_MODEL")) << key;
  }
  EXPECT_THAT(refusal("mistral_5_full", "attention_bias", "true"), HasSubstr("E_UNSUPPORTED_MODEL"));
}

TEST(ModelConfig, TakesALlamaAsTransformersDoes) {
  Json json = sample("llama_5_default");
  json["sliding_window"] = 128;
  for (const char* name : {"LLaMAForCausalLM", "LLamaForCausalLM", "LlamaModel"}) {
    json["architectures"] = {name};
    const Result<ModelConfig> config = parse_model_config(json);
    ASSERT_TRUE(config) << name << ": " << config.error().message;
    EXPECT_THAT(config->window, Each(0));
    ASSERT_EQ(config->warnings.size(), 1u);
    EXPECT_THAT(config->warnings[0], HasSubstr("sliding_window"));
  }
  EXPECT_THAT(refusal("llama_5_default", "architectures", R"(["MyLlamaForCausalLM"])"), HasSubstr("expected LlamaForCausalLM"));
}

TEST(ModelConfig, RefusesUnknownKeysThatSuggestOtherResults) {
  for (const auto& [key, value] :
       {std::pair("attn_scale_base", "512"), std::pair("hidden_activation", "\"gelu\""), std::pair("mtp_block_count", "1"),
        std::pair("use_logn_attn", "true"), std::pair("final_norm_mode", "\"post\"")}) {
    EXPECT_THAT(refusal("llama_5_default", key, value), HasSubstr("suggests")) << key;
  }
  for (const auto& [key, value] :
       {std::pair("attn_scale_base", "null"), std::pair("width_multiplier", "1.0"), std::pair("use_flash_attn", "true"),
        std::pair("use_logn_attn", "false"), std::pair("router_aux_loss_coef", "0.01")}) {
    EXPECT_EQ(refusal("llama_5_default", key, value), "accepted") << key;
  }
}

TEST(ModelConfig, IgnoresSwitchesThatAreOff) {
  for (const auto& [key, value] :
       {std::pair("quantization_config", "null"), std::pair("num_experts", "0"), std::pair("residual_multiplier", "1.0"),
        std::pair("pretraining_tp", "2"), std::pair("text_config", "{}"), std::pair("use_qk_norm", "false")}) {
    EXPECT_EQ(refusal("llama_5_default", key, value), "accepted") << key;
  }
}

TEST(ModelConfig, WarnsOfKeysNobodyKnows) {
  Json json = sample("llama_5_default");
  json["my_own_key"] = 5;
  const Result<ModelConfig> config = parse_model_config(json);
  ASSERT_TRUE(config);
  ASSERT_EQ(config->warnings.size(), 1u);
  EXPECT_THAT(config->warnings[0], HasSubstr("\"my_own_key\" is not known"));
}

TEST(ModelConfig, RefusesSizesThatCantBe) {
  for (const auto& [key, value] :
       {std::pair("vocab_size", "0"), std::pair("hidden_size", "-64"), std::pair("num_hidden_layers", "1000000"),
        std::pair("num_key_value_heads", "3"), std::pair("head_dim", "15"), std::pair("intermediate_size", "9223372036854775807"),
        std::pair("max_position_embeddings", "0"), std::pair("num_attention_heads", "null"), std::pair("rms_norm_eps", "-1")}) {
    EXPECT_THAT(refusal("llama_5_default", key, value), HasSubstr("E_MODEL_CONFIG")) << key;
  }
  for (const auto& [key, value] :
       {std::pair("vocab_size", "\"x\""), std::pair("hidden_size", "64.5"), std::pair("tie_word_embeddings", "1")}) {
    EXPECT_THAT(refusal("llama_5_default", key, value), HasSubstr("E_BAD_JSON")) << key;
  }
}

TEST(ModelConfig, RefusesLayerTypesThatContradict) {
  EXPECT_THAT(refusal("qwen2_4_instruct", "layer_types", R"(["full_attention"])"), HasSubstr("expected 24 entries"));
  EXPECT_THAT(refusal("qwen3_5_dynamic", "layer_types", R"(["full_attention","sliding_attention","full_attention"])"),
              HasSubstr("contradicts"));
  EXPECT_THAT(refusal("qwen3_5_dynamic", "layer_types", R"(["full_attention","chunked_attention","full_attention"])"),
              HasSubstr("chunked_attention"));
  EXPECT_THAT(refusal("mistral_5_window", "layer_types", R"(["full_attention","sliding_attention","full_attention"])"),
              HasSubstr("contradicts"));
  EXPECT_EQ(refusal("mistral_5_window", "layer_types", R"(["sliding_attention","sliding_attention","sliding_attention"])"), "accepted");
}

TEST(ModelConfig, ReadsFromAFolder) {
  const TemporaryFolder folder;
  EXPECT_EQ(read_model_config(folder.path()).error().code, "E_NO_CONFIG");
  folder.write("config.json", sample("llama_5_default").dump());
  EXPECT_TRUE(read_model_config(folder.path()));
  folder.write("config.json", "{\"model_type\":\"llama\"}");
  EXPECT_THAT(read_model_config(folder.path()).error().message,
              HasSubstr("config.json: \"vocab_size\": expected an integer, found nothing"));
  folder.write("config.json", "[]");
  EXPECT_EQ(read_model_config(folder.path()).error().code, "E_BAD_JSON");
}

}  // namespace
}  // namespace slora
