#include "formats/model_family.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "formats/model_config.h"

namespace slora {
namespace {

constexpr NumberKey kGemma2Numbers[] = {
    {"query_pre_attn_scalar", &ModelConfig::query_scalar, 256.0},
    {"attn_logit_softcapping", &ModelConfig::score_cap, 50.0, true},
    {"final_logit_softcapping", &ModelConfig::logit_cap, 30.0, true},
};
constexpr NumberKey kGemma3Numbers[] = {
    {"query_pre_attn_scalar", &ModelConfig::query_scalar, 256.0},
    {"final_logit_softcapping", &ModelConfig::logit_cap, 0.0, true},
};
constexpr NumberKey kGraniteNumbers[] = {
    {"embedding_multiplier", &ModelConfig::embedding_scale, 1.0},
    {"attention_multiplier", &ModelConfig::score_multiplier, 1.0},
    {"residual_multiplier", &ModelConfig::branch_scale, 1.0},
    {"logits_scaling", &ModelConfig::logit_divisor, 1.0},
};
constexpr std::string_view kGemma2Keys[] = {"hidden_activation"};
// transformers reads "attn_logit_softcapping" of a Gemma 3 and computes nothing with it.
constexpr std::string_view kGemma3Keys[] = {"hidden_activation",    "attn_logit_softcapping", "sliding_window_pattern",
                                            "rope_local_base_freq", "vision_config",          "mm_tokens_per_image",
                                            "boi_token_index",      "eoi_token_index",        "image_token_index"};

constexpr ModelFamily kGemma2 = {.model_type = "gemma2",
                                 .architecture = "Gemma2ForCausalLM",
                                 .tensors = &kGemmaTensors,
                                 .max_position_embeddings = 8192,
                                 .vocab_size = 256000,
                                 .head_count = 8,
                                 .kv_head_count = 4,
                                 .head_dim = 256,
                                 .attention_bias = AttentionBias::by_key,
                                 .window_layers = WindowLayers::all_but_every_nth,
                                 .window_period = 2,
                                 .activation_key = "hidden_activation",
                                 .activation = "gelu_pytorch_tanh",
                                 .ties_embeddings = true,
                                 .gain_offset = 1,
                                 .scales_embedding = true,
                                 .numbers = kGemma2Numbers,
                                 .keys = kGemma2Keys,
                                 .needs_further_ops = true};

constexpr std::string_view kSmolLm3Keys[] = {"no_rope_layers", "no_rope_layer_interval"};

constexpr std::string_view kMixtralKeys[] = {"num_local_experts", "num_experts_per_tok"};
constexpr std::string_view kQwenMoeKeys[] = {"num_experts",
                                             "num_local_experts",
                                             "num_experts_per_tok",
                                             "moe_intermediate_size",
                                             "shared_expert_intermediate_size",
                                             "decoder_sparse_step",
                                             "mlp_only_layers",
                                             "norm_topk_prob",
                                             "qkv_bias"};

constexpr std::string_view kPhi3Keys[] = {"full_attn_mod",
                                          "interpolate_factor"};  // of the repositories' own code, which does nothing with them

constexpr ModelFamily kOlmo2 = {.model_type = "olmo2",
                                .architecture = "Olmo2ForCausalLM",
                                .tensors = &kOlmoTensors,
                                .max_position_embeddings = 2048,
                                .has_as_many_kv_heads = true,
                                .attention_bias = AttentionBias::by_key,
                                .norm_eps = 1e-5,
                                .needs_further_ops = true};

constexpr ModelFamily olmo3() {
  ModelFamily family = kOlmo2;
  family.model_type = "olmo3";
  family.architecture = "Olmo3ForCausalLM";
  family.window_layers = WindowLayers::all_but_every_nth;
  family.window_period = 4;
  family.rope = {5e5, 5e5, "rope_theta"};
  return family;
}

constexpr ModelFamily gemma3_of_text() {
  ModelFamily family = kGemma2;
  family.model_type = "gemma3_text";
  family.architecture = "Gemma3ForCausalLM";
  family.max_position_embeddings = 131072;
  family.vocab_size = 262208;
  family.has_qk_norm = true;
  family.window_period = 6;
  family.rope = {1e6, 10000.0, "rope_local_base_freq"};
  family.numbers = kGemma3Numbers;
  family.keys = kGemma3Keys;
  return family;
}

// A model that reads images too, by its text model.
constexpr ModelFamily with_images(ModelFamily text, std::string_view model_type, std::string_view architecture,
                                  const FamilyTensors& tensors) {
  text.text_type = text.model_type;
  text.model_type = model_type;
  text.architecture = architecture;
  text.tensors = &tensors;
  return text;
}

// In the order of Family.
constexpr std::array<ModelFamily, 15> kFamilies = {{
    {.model_type = "llama",
     .architecture = "LlamaForCausalLM",
     .tensors = &kLlamaTensors,
     .max_position_embeddings = 2048,
     .has_as_many_kv_heads = true,
     .attention_bias = AttentionBias::by_key,
     .has_mlp_bias_key = true},
    {.model_type = "mistral",
     .architecture = "MistralForCausalLM",
     .tensors = &kLlamaTensors,
     .max_position_embeddings = 131072,
     .window_layers = WindowLayers::all},
    {.model_type = "qwen2",
     .architecture = "Qwen2ForCausalLM",
     .tensors = &kLlamaTensors,
     .max_position_embeddings = 32768,
     .attention_bias = AttentionBias::qkv,
     .window_layers = WindowLayers::from_max_window_layers,
     .has_window_switch = true},
    {.model_type = "qwen3",
     .architecture = "Qwen3ForCausalLM",
     .tensors = &kLlamaTensors,
     .max_position_embeddings = 32768,
     .head_dim = 128,
     .attention_bias = AttentionBias::by_key,
     .has_qk_norm = true,
     .window_layers = WindowLayers::from_max_window_layers,
     .has_window_switch = true},
    kGemma2,
    gemma3_of_text(),
    with_images(gemma3_of_text(), "gemma3", "Gemma3ForConditionalGeneration", kGemma3Tensors),
    {.model_type = "granite",
     .architecture = "GraniteForCausalLM",
     .tensors = &kLlamaTensors,
     .max_position_embeddings = 2048,
     .has_as_many_kv_heads = true,
     .attention_bias = AttentionBias::by_key,
     .has_mlp_bias_key = true,
     .numbers = kGraniteNumbers,
     .needs_further_ops = true},
    {.model_type = "smollm3",
     .architecture = "SmolLM3ForCausalLM",
     .tensors = &kLlamaTensors,
     .max_position_embeddings = 32768,
     .vocab_size = 128256,
     .head_count = 16,
     .kv_head_count = 4,
     .attention_bias = AttentionBias::by_key,
     .has_mlp_bias_key = true,
     .window_layers = WindowLayers::without_rope,
     .window_size = 0,
     .has_window_switch = true,
     .ties_embeddings = true,
     .rope = {2e6},
     .no_rope_period = 4,
     .keys = kSmolLm3Keys},
    kOlmo2,
    olmo3(),
    {.model_type = "phi3",
     .architecture = "Phi3ForCausalLM",
     .tensors = &kPhi3Tensors,
     .max_position_embeddings = 4096,
     .has_as_many_kv_heads = true,
     .window_layers = WindowLayers::all,
     .window_size = 0,
     .norm_eps = 1e-5,
     .rope = {.has_longrope = true},
     .keys = kPhi3Keys},
    {.model_type = "mixtral",
     .architecture = "MixtralForCausalLM",
     .tensors = &kMixtralTensors,
     .max_position_embeddings = 131072,
     .kv_head_count = 8,
     .window_layers = WindowLayers::all,
     .window_size = 0,
     .norm_eps = 1e-5,
     .rope = {1e6},
     .keys = kMixtralKeys,
     .mixture = {.count = "num_local_experts", .count_if_absent = 8, .per_token_if_absent = 2, .normalises_shares = true},
     .needs_further_ops = true},
    {.model_type = "qwen2_moe",
     .architecture = "Qwen2MoeForCausalLM",
     .tensors = &kQwen2MoeTensors,
     .max_position_embeddings = 32768,
     .head_count = 16,
     .kv_head_count = 16,
     .attention_bias = AttentionBias::qkv,
     .window_layers = WindowLayers::every_other_below_max,
     .has_window_switch = true,
     .keys = kQwenMoeKeys,
     .mixture = {.count = "num_experts",
                 .count_since = "num_local_experts",
                 .count_if_absent = 60,
                 .per_token_if_absent = 4,
                 .width_if_absent = 1408,
                 .shared_if_absent = 5632},
     .needs_further_ops = true},
    {.model_type = "qwen3_moe",
     .architecture = "Qwen3MoeForCausalLM",
     .tensors = &kQwen3MoeTensors,
     .max_position_embeddings = 32768,
     .head_count = 32,
     .kv_head_count = 4,
     .attention_bias = AttentionBias::by_key,
     .has_qk_norm = true,
     .window_layers = WindowLayers::all,
     .has_window_switch = true,
     .keys = kQwenMoeKeys,
     .mixture = {.count = "num_experts",
                 .count_since = "num_local_experts",
                 .count_if_absent = 128,
                 .per_token_if_absent = 8,
                 .width_if_absent = 768},
     .needs_further_ops = true},
}};

}  // namespace

const ModelFamily& traits_of(Family family) { return kFamilies[static_cast<std::size_t>(family)]; }

std::optional<Family> find_family(std::string_view model_type) {
  const auto* const at = std::ranges::find(kFamilies, model_type, &ModelFamily::model_type);
  return at != kFamilies.end() ? std::optional(static_cast<Family>(at - kFamilies.begin())) : std::nullopt;
}

std::string_view bias_key_of(Family family, SiteKind site) {
  const ModelFamily& traits = traits_of(family);
  const bool is_of_attention = site == SiteKind::qkv || site == SiteKind::o;
  if (is_of_attention && traits.attention_bias == AttentionBias::by_key) return "attention_bias";
  const bool is_of_mlp = site == SiteKind::gate_up || site == SiteKind::down;
  return is_of_mlp && traits.has_mlp_bias_key ? "mlp_bias" : "";
}

std::string served_model_types() {
  std::string types;
  for (const ModelFamily& family : kFamilies) {
    if (!types.empty()) types += &family == &kFamilies.back() ? " or " : ", ";
    types += family.model_type;
  }
  return types;
}

}  // namespace slora
