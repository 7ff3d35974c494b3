// Configs of mixtures of experts, cut from published ones: what is read of them, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "formats/model_config.h"
#include "formats/model_tensors.h"
#include "formats/module_table.h"

namespace slora {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kMixtral = R"({"model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "attention_dropout": 0.0,
    "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 32768, "num_attention_heads": 32,
    "num_experts_per_tok": 2, "num_hidden_layers": 3, "num_key_value_heads": 8, "num_local_experts": 8, "output_router_logits": false,
    "rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "router_aux_loss_coef": 0.02, "sliding_window": null, "tie_word_embeddings": false,
    "torch_dtype": "bfloat16", "use_cache": true, "vocab_size": 32000})";
constexpr const char* kQwen2Moe = R"({"model_type": "qwen2_moe", "architectures": ["Qwen2MoeForCausalLM"], "decoder_sparse_step": 1,
    "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 5632, "max_position_embeddings": 8192, "max_window_layers": 21,
    "mlp_only_layers": [1], "moe_intermediate_size": 1408, "norm_topk_prob": false, "num_attention_heads": 16, "num_experts": 60,
    "num_experts_per_tok": 4, "num_hidden_layers": 3, "num_key_value_heads": 16, "output_router_logits": false, "qkv_bias": true,
    "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "router_aux_loss_coef": 0.001, "shared_expert_intermediate_size": 5632,
    "sliding_window": 32768, "tie_word_embeddings": false, "torch_dtype": "bfloat16", "use_cache": true, "use_sliding_window": false,
    "vocab_size": 151936})";
constexpr const char* kQwen3Moe = R"({"model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"], "attention_bias": false,
    "decoder_sparse_step": 2, "head_dim": 128, "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 6144,
    "max_position_embeddings": 40960, "max_window_layers": 48, "mlp_only_layers": [], "moe_intermediate_size": 768,
    "norm_topk_prob": true, "num_attention_heads": 32, "num_experts": 128, "num_experts_per_tok": 8, "num_hidden_layers": 4,
    "num_key_value_heads": 4, "output_router_logits": false, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000.0,
    "router_aux_loss_coef": 0.001, "sliding_window": null, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
    "use_cache": true, "use_sliding_window": false, "vocab_size": 151936})";

ModelConfig parsed_mixture(const char* text) {
  Result<ModelConfig> config = parse_model_config(*parse_json(text));
  EXPECT_TRUE(config) << (config ? "" : config.error().message);
  EXPECT_THAT(config->warnings, IsEmpty());
  return *config;
}

// What a config is refused with once a key has this value.
std::string refusal_of_mixture(const char* text, const std::string& key, const std::string& value) {
  Json config = *parse_json(text);
  config[key] = *parse_json(value);
  const Result<ModelConfig> model = parse_model_config(config);
  return model ? "accepted" : model.error().code + ": " + model.error().message;
}

std::vector<std::string> names_of(const ModelConfig& config, std::string_view part) {
  std::vector<std::string> names;
  for (const TensorEntry& entry : make_model_tensors(config).entries) {
    if (entry.module.find(part) != std::string::npos) names.push_back(entry.module);
  }
  return names;
}

TEST(MixtureConfig, MixtralHasExpertsInEveryLayerAndNormalisesTheirShares) {
  const ModelConfig config = parsed_mixture(kMixtral);
  EXPECT_EQ(config.mixture.expert_count, 8);
  EXPECT_EQ(config.mixture.experts_per_token, 2);
  EXPECT_EQ(config.mixture.expert_width, 14336);
  EXPECT_EQ(config.mixture.shared_width, 0);
  EXPECT_TRUE(config.mixture.normalises_shares);
  EXPECT_THAT(config.mixture.layers, Each(true));
  EXPECT_THAT(config.window, Each(0));
  EXPECT_TRUE(config.needs_further_ops());
  EXPECT_THAT(names_of(config, "layers.2.block_sparse_moe.experts.7"),
              ElementsAre("model.layers.2.block_sparse_moe.experts.7.w1", "model.layers.2.block_sparse_moe.experts.7.w3",
                          "model.layers.2.block_sparse_moe.experts.7.w2"));
}

TEST(MixtureConfig, MixtralHasNoLayersWithoutExperts) {
  Json config = *parse_json(kMixtral);
  config["mlp_only_layers"] = {0};
  EXPECT_THAT(parse_model_config(config)->mixture.layers, Each(true)) << "a key of other families";
}

TEST(MixtureConfig, Qwen2HasASharedExpertAndMayHaveLayersWithout) {
  const ModelConfig config = parsed_mixture(kQwen2Moe);
  EXPECT_EQ(config.mixture.expert_width, 1408);
  EXPECT_EQ(config.mixture.shared_width, 5632);
  EXPECT_FALSE(config.mixture.normalises_shares);
  EXPECT_THAT(config.mixture.layers, ElementsAre(true, false, true));
  EXPECT_THAT(names_of(config, "layers.1.mlp"),
              ElementsAre("model.layers.1.mlp.gate_proj", "model.layers.1.mlp.up_proj", "model.layers.1.mlp.down_proj"));
  const ModuleTable table = make_module_table(config);
  const ModuleEntry* const score = table.find("model.layers.2.mlp.shared_expert_gate");
  ASSERT_NE(score, nullptr);
  EXPECT_EQ(score->site, (Site{2, SiteKind::router}));
  EXPECT_EQ(score->slice_begin, 60);
  EXPECT_EQ(score->out, 1);
  EXPECT_EQ(table.find("model.layers.2.mlp.shared_expert.up_proj")->site, (Site{2, SiteKind::gate_up}));
  EXPECT_EQ(table.find("model.layers.2.mlp.experts.59.down_proj")->site, (Site{2, SiteKind::down, 60}));
  EXPECT_EQ(table.find("model.layers.2.mlp.experts.60.down_proj"), nullptr);
}

TEST(MixtureConfig, Qwen3CountsItsLayersByStepAndItsExpertsByEitherKey) {
  ModelConfig config = parsed_mixture(kQwen3Moe);
  EXPECT_TRUE(config.qk_norm);
  EXPECT_TRUE(config.mixture.normalises_shares);
  EXPECT_THAT(config.mixture.layers, ElementsAre(false, true, false, true));
  Json since = *parse_json(kQwen3Moe);
  since.erase("num_experts");
  since["num_local_experts"] = 16;
  EXPECT_EQ(parse_model_config(since)->mixture.expert_count, 16);
}

TEST(MixtureConfig, WindowsFollowEachFamily) {
  EXPECT_EQ(refusal_of_mixture(kMixtral, "sliding_window", "4096"), "accepted");
  Json config = *parse_json(kQwen2Moe);
  config["use_sliding_window"] = true;
  EXPECT_THAT(parse_model_config(config)->window, ElementsAre(32768, 0, 32768));
  config = *parse_json(kQwen3Moe);
  config["use_sliding_window"] = true;
  config["sliding_window"] = 8;
  EXPECT_THAT(parse_model_config(config)->window, Each(8));
}

TEST(MixtureConfig, RefusesImpossibleNumbersAndOtherRouters) {
  EXPECT_THAT(refusal_of_mixture(kQwen3Moe, "num_experts_per_tok", "129"), HasSubstr("expected at most num_experts (128), found 129"));
  EXPECT_THAT(refusal_of_mixture(kMixtral, "num_local_experts", "1"), HasSubstr("expected at most num_local_experts (1), found 2"));
  EXPECT_THAT(refusal_of_mixture(kMixtral, "num_local_experts", "0"), HasSubstr("\"num_local_experts\": expected 1 to"));
  EXPECT_THAT(refusal_of_mixture(kQwen2Moe, "num_experts", "5000"), HasSubstr("\"num_experts\": expected 1 to 4096, found 5000"));
  EXPECT_THAT(refusal_of_mixture(kQwen3Moe, "num_hidden_layers", "4096"),
              HasSubstr("\"num_experts\": expected at most 64 in 4096 layers, found 128"));
  EXPECT_THAT(refusal_of_mixture(kQwen2Moe, "mlp_only_layers", "[3]"), HasSubstr("\"mlp_only_layers\""));
  EXPECT_THAT(refusal_of_mixture(kQwen2Moe, "mlp_only_layers", "\"all\""), HasSubstr("\"mlp_only_layers\""));
  EXPECT_THAT(refusal_of_mixture(kQwen3Moe, "decoder_sparse_step", "0"), HasSubstr("\"decoder_sparse_step\""));
  EXPECT_THAT(refusal_of_mixture(kQwen3Moe, "scoring_func", "\"sigmoid\""), HasSubstr("\"scoring_func\""));
  EXPECT_THAT(refusal_of_mixture(kQwen3Moe, "n_group", "8"), HasSubstr("\"n_group\""));
  EXPECT_THAT(refusal_of_mixture(kMixtral, "n_shared_experts", "1"), HasSubstr("\"n_shared_experts\""));
  EXPECT_THAT(refusal_of_mixture(kMixtral, "moe_intermediate_size", "64"), HasSubstr("\"moe_intermediate_size\""));
  EXPECT_THAT(refusal_of_mixture(kMixtral, "model_type", "\"deepseek_v3\""), HasSubstr("found \"deepseek_v3\""));
}

TEST(MixtureConfig, RefusesShards) {
  for (const char* text : {kMixtral, kQwen2Moe, kQwen3Moe}) {
    const Result<ShardShape> shape = make_shard_shape(parsed_mixture(text), 0, 2);
    ASSERT_FALSE(shape);
    EXPECT_THAT(shape.error().message, HasSubstr("are served in one piece, not in 2 shards"));
  }
}

}  // namespace
}  // namespace slora
