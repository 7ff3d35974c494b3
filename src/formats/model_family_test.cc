// The families' own keys: their defaults, and values that are refused. Configs are cut from published ones.
#include "formats/model_family.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "formats/model_config.h"
#include "formats/shard_shape.h"

namespace slora {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kGemma2 = R"({"model_type": "gemma2", "architectures": ["Gemma2ForCausalLM"], "attention_bias": false,
    "attn_logit_softcapping": 50.0, "cache_implementation": "hybrid", "final_logit_softcapping": 30.0, "head_dim": 256,
    "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 2304, "intermediate_size": 9216,
    "max_position_embeddings": 8192, "num_attention_heads": 8, "num_hidden_layers": 4, "num_key_value_heads": 4,
    "query_pre_attn_scalar": 144, "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "sliding_window": 4096, "torch_dtype": "bfloat16",
    "use_cache": true, "vocab_size": 256000})";
constexpr const char* kGemma3Text = R"({"model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"],
    "_sliding_window_pattern": 6, "attention_bias": false, "attn_logit_softcapping": null, "final_logit_softcapping": null,
    "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 640, "intermediate_size": 2048,
    "max_position_embeddings": 32768, "num_attention_heads": 4, "num_hidden_layers": 7, "num_key_value_heads": 1,
    "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_local_base_freq": 10000.0, "rope_scaling": null, "rope_theta": 1000000.0,
    "sliding_window": 512, "torch_dtype": "bfloat16", "use_bidirectional_attention": false, "use_cache": true, "vocab_size": 262144})";
constexpr const char* kGemma3 = R"({"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"],
    "boi_token_index": 255999, "eoi_token_index": 256000, "eos_token_id": [1, 106], "image_token_index": 262144,
    "mm_tokens_per_image": 256, "torch_dtype": "bfloat16", "text_config": {"hidden_size": 2560, "intermediate_size": 10240,
    "model_type": "gemma3_text", "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
    "sliding_window": 1024}, "vision_config": {"hidden_size": 1152, "model_type": "siglip_vision_model"}})";
constexpr const char* kGranite = R"({"model_type": "granite", "architectures": ["GraniteForCausalLM"], "attention_bias": false,
    "attention_multiplier": 0.015625, "embedding_multiplier": 12.0, "hidden_act": "silu", "hidden_size": 2048,
    "intermediate_size": 8192, "logits_scaling": 8.0, "max_position_embeddings": 131072, "mlp_bias": false, "num_attention_heads": 32,
    "num_hidden_layers": 2, "num_key_value_heads": 8, "residual_multiplier": 0.22, "rms_norm_eps": 1e-05, "rope_theta": 10000000.0,
    "tie_word_embeddings": true, "vocab_size": 49159})";
constexpr const char* kSmolLm3 = R"({"model_type": "smollm3", "architectures": ["SmolLM3ForCausalLM"], "hidden_size": 2048,
    "intermediate_size": 11008, "layer_types": ["full_attention", "full_attention", "full_attention", "full_attention"],
    "max_position_embeddings": 65536, "max_window_layers": 28, "no_rope_layer_interval": 4, "no_rope_layers": [1, 1, 1, 0],
    "num_attention_heads": 16, "num_hidden_layers": 4, "num_key_value_heads": 4, "rope_theta": 5000000.0, "sliding_window": null,
    "use_sliding_window": false, "vocab_size": 128256})";
constexpr const char* kOlmo3 = R"({"model_type": "olmo3", "architectures": ["Olmo3ForCausalLM"], "hidden_size": 4096,
    "intermediate_size": 11008, "max_position_embeddings": 65536, "num_attention_heads": 32, "num_hidden_layers": 5,
    "num_key_value_heads": 32, "rope_scaling": {"attention_factor": 1.2079441541679836, "beta_fast": 32, "beta_slow": 1, "factor": 8.0,
    "original_max_position_embeddings": 8192, "rope_type": "yarn"}, "rope_theta": 500000, "sliding_window": 4096,
    "tie_word_embeddings": false, "vocab_size": 100278})";
constexpr const char* kPhi3 = R"({"model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "hidden_size": 64,
    "intermediate_size": 128, "max_position_embeddings": 131072, "num_attention_heads": 4, "num_hidden_layers": 2,
    "num_key_value_heads": 2, "original_max_position_embeddings": 4096, "partial_rotary_factor": 0.75, "rope_scaling": {
    "long_factor": [1, 2, 3, 4, 5, 6], "short_factor": [1, 1, 1, 1.5, 2, 2], "type": "longrope"}, "rope_theta": 10000.0,
    "sliding_window": 262144, "tie_word_embeddings": true, "vocab_size": 200064})";

ModelConfig parsed(const char* text) {
  Result<ModelConfig> config = parse_model_config(*parse_json(text));
  EXPECT_TRUE(config) << (config ? "" : config.error().message);
  EXPECT_THAT(config->warnings, IsEmpty());
  return *config;
}

// What a config is refused with once a key has this value; the key may be of "text_config".
std::string refusal(const char* text, const std::string& key, const std::string& value, bool is_of_text = false) {
  Json config = *parse_json(text);
  (is_of_text ? config["text_config"] : config)[key] = *parse_json(value);
  const Result<ModelConfig> model = parse_model_config(config);
  return model ? "accepted" : model.error().code + ": " + model.error().message;
}

TEST(ModelFamily, Gemma2HasCapsAndWindowsInEverySecondLayer) {
  const ModelConfig config = parsed(kGemma2);
  EXPECT_EQ(config.activation, Activation::gelu_tanh);
  EXPECT_EQ(config.score_scale(), 1.0f / 12);
  EXPECT_EQ(config.score_cap, 50.0);
  EXPECT_EQ(config.logit_cap, 30.0);
  EXPECT_EQ(config.embedding_scale, 48.0);
  EXPECT_TRUE(config.tie_embeddings);
  EXPECT_THAT(config.window, ElementsAre(4096, 0, 4096, 0));
  EXPECT_FALSE(config.window_rope);
}

TEST(ModelFamily, GemmaRoundsTheScaleOfItsEmbeddingAsItsWeights) {
  Json config = *parse_json(kGemma3Text);
  EXPECT_EQ(parse_model_config(config)->embedding_scale, 25.25) << "sqrt(640) = 25.298 in bf16";
  config["torch_dtype"] = "float32";
  EXPECT_EQ(parse_model_config(config)->embedding_scale, static_cast<double>(std::sqrt(640.0f)));
}

TEST(ModelFamily, Gemma3HasAnotherRopeInLayersWithAWindow) {
  const ModelConfig config = parsed(kGemma3Text);
  EXPECT_THAT(config.window, ElementsAre(512, 512, 512, 512, 512, 0, 512));
  EXPECT_TRUE(config.qk_norm);
  EXPECT_EQ(config.score_cap, 0.0);
  EXPECT_EQ(config.rope.theta, 1e6);
  ASSERT_TRUE(config.window_rope);
  EXPECT_EQ(config.window_rope->theta, 10000.0);
  EXPECT_EQ(config.window_rope->kind, RopeKind::default_);
}

TEST(ModelFamily, Gemma3ReadsItsTextModelFromWithinAModelWithImages) {
  const ModelConfig config = parsed(kGemma3);
  EXPECT_EQ(config.family, Family::gemma3);
  EXPECT_EQ(config.vocab_size, 262208);
  EXPECT_EQ(config.head_count, 8);
  EXPECT_EQ(config.kv_head_count, 4);
  EXPECT_EQ(config.head_dim, 256);
  EXPECT_EQ(config.dtype, "bfloat16");
  EXPECT_EQ(config.rope.kind, RopeKind::linear);
  EXPECT_EQ(config.rope.factor, 8.0);
  ASSERT_TRUE(config.window_rope);
  EXPECT_EQ(config.window_rope->factor, 1.0);
  EXPECT_THAT(refusal(kGemma3, "model_type", "\"gemma2\"", true), HasSubstr("expected gemma3_text, found \"gemma2\""));
  EXPECT_THAT(refusal(kGemma3, "text_config", "7"), HasSubstr("\"text_config\": expected an object"));
}

TEST(ModelFamily, GemmaRefusesWhatItDoesNotServe) {
  EXPECT_THAT(refusal(kGemma3Text, "use_bidirectional_attention", "true"), HasSubstr("use_bidirectional_attention"));
  EXPECT_THAT(refusal(kGemma3Text, "hidden_activation", "\"gelu\""), HasSubstr("expected silu or gelu_pytorch_tanh"));
  EXPECT_THAT(refusal(kGemma2, "query_pre_attn_scalar", "0"), HasSubstr("\"query_pre_attn_scalar\": expected a number above 0"));
  EXPECT_THAT(refusal(kGemma2, "attn_logit_softcapping", "-1"), HasSubstr("attn_logit_softcapping"));
  EXPECT_THAT(refusal(kGemma2, "rope_local_base_freq", "10000.0"), HasSubstr("rope_local_base_freq"));
  EXPECT_EQ(refusal(kGemma2, "attn_logit_softcapping", "null"), "accepted");
}

TEST(ModelFamily, GraniteReadsItsMultipliers) {
  const ModelConfig config = parsed(kGranite);
  EXPECT_EQ(config.score_scale(), 0.015625f);
  EXPECT_EQ(config.embedding_scale, 12.0);
  EXPECT_EQ(config.branch_scale, 0.22);
  EXPECT_EQ(config.logit_divisor, 8.0);
  for (const char* key : {"attention_multiplier", "embedding_multiplier", "residual_multiplier", "logits_scaling"})
    EXPECT_THAT(refusal(kGranite, key, "0"), HasSubstr(key));
  EXPECT_THAT(refusal(kGranite, "num_local_experts", "8"), HasSubstr("num_local_experts"));
}

TEST(ModelFamily, SmolLm3LeavesRopeOutOfSomeLayers) {
  const ModelConfig config = parsed(kSmolLm3);
  EXPECT_THAT(config.without_rope, ElementsAre(false, false, false, true));
  EXPECT_THAT(config.window, Each(0));
  EXPECT_FALSE(config.needs_further_ops());
  Json silent = *parse_json(kSmolLm3);
  silent.erase("no_rope_layers");
  silent.erase("layer_types");
  silent["no_rope_layer_interval"] = 2;
  silent["use_sliding_window"] = true;
  silent["sliding_window"] = 16;
  EXPECT_THAT(parse_model_config(silent)->without_rope, ElementsAre(false, true, false, true));
  EXPECT_THAT(parse_model_config(silent)->window, ElementsAre(0, 16, 0, 16));
  EXPECT_THAT(refusal(kSmolLm3, "no_rope_layers", "[1, 0]"), HasSubstr("for each of 4 layers"));
  EXPECT_THAT(refusal(kSmolLm3, "no_rope_layers", "[1, 0, 2, 1]"), HasSubstr("expected 0 or 1"));
}

TEST(ModelFamily, Olmo3ScalesRopeInLayersWithoutAWindowOnly) {
  const ModelConfig config = parsed(kOlmo3);
  EXPECT_THAT(config.window, ElementsAre(4096, 4096, 4096, 0, 4096));
  EXPECT_EQ(config.rms_norm_eps, 1e-5);
  EXPECT_EQ(config.rope.kind, RopeKind::yarn);
  ASSERT_TRUE(config.window_rope);
  EXPECT_EQ(config.window_rope->kind, RopeKind::default_);
  EXPECT_EQ(config.window_rope->theta, 5e5);
  EXPECT_THAT(refusal(kOlmo3, "clip_qkv", "8.0"), HasSubstr("clip_qkv"));
}

TEST(ModelFamily, Phi3RotatesHeadsInPartByShortFactors) {
  const ModelConfig config = parsed(kPhi3);
  EXPECT_EQ(config.rope.kind, RopeKind::longrope);
  EXPECT_EQ(config.rope.rotary_dim(config.head_dim), 12);
  EXPECT_THAT(config.rope.short_factors, ElementsAre(1, 1, 1, 1.5, 2, 2));
  EXPECT_EQ(config.rope.original_max_position, 4096);
  EXPECT_TRUE(config.needs_further_ops());
  EXPECT_THAT(refusal(kPhi3, "partial_rotary_factor", "0.5"), HasSubstr("expected a list of 4 numbers"));
  EXPECT_THAT(refusal(kPhi3, "partial_rotary_factor", "0.01"), HasSubstr("expected an even number of rotated elements of 16"));
  EXPECT_EQ(refusal(kPhi3, "rope_scaling", R"({"type": "linear", "factor": 2})"), "accepted");
  EXPECT_THAT(refusal(kPhi3, "rope_scaling", R"({"type": "longrope", "short_factor": [1, 1, 1, 0, 2, 2]})"), HasSubstr("above 0"));
  EXPECT_THAT(refusal(kPhi3, "original_max_position_embeddings", "1"), HasSubstr("expected at least 2"));
  EXPECT_THAT(refusal(kPhi3, "attention_bias", "true"), HasSubstr("attention_bias"));
}

TEST(ModelFamily, RefusesShardsOfModulesThatCannotBeCut) {
  for (const char* text : {kOlmo3, kPhi3}) {
    const Result<ShardShape> shape = make_shard_shape(parsed(text), 0, 2);
    ASSERT_FALSE(shape);
    EXPECT_THAT(shape.error().message, HasSubstr("are served in one piece, not in 2 shards"));
  }
}

// Of Phi: another attention, vectors of positions, experts; of Granite 4: Mamba; of others: what their names say.
TEST(ModelFamily, RefusesRelativesByName) {
  for (const char* type : {"phi", "phi3_v", "phi3small", "phimoe", "phi4_multimodal", "granitemoe", "granitemoehybrid", "gemma", "gemma3n",
                           "gemma3n_text", "gemma4", "olmo", "olmo_hybrid", "olmoe", "deepseek_v3", "qwen3_5_moe"})
    EXPECT_THAT(refusal(kGranite, "model_type", fmt::format("\"{}\"", type)),
                AllOf(HasSubstr("E_UNSUPPORTED_MODEL: \"model_type\": expected llama, "), HasSubstr(fmt::format("found \"{}\"", type))));
}

TEST(ModelFamily, TakesOtherBeginningsOfATextModelsNames) {
  const FamilyTensors& tensors = *traits_of(Family::gemma3).tensors;
  for (const char* path :
       {"language_model.model.layers.0.mlp.up_proj", "model.layers.0.mlp.up_proj", "model.language_model.layers.0.mlp.up_proj"}) {
    EXPECT_EQ(tensors.canonical(path), "model.language_model.layers.0.mlp.up_proj");
  }
  EXPECT_EQ(tensors.canonical("language_model.lm_head"), "lm_head");
  EXPECT_TRUE(tensors.leaves_out("model.vision_tower.vision_model.head.weight"));
  EXPECT_FALSE(traits_of(Family::llama).tensors->leaves_out("vision_tower.weight"));
}

}  // namespace
}  // namespace slora
