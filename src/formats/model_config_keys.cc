#include "formats/model_config_keys.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "formats/suspicious_words.h"

namespace slora {
namespace {

constexpr std::size_t kKeyWarningsMax = 20;

// Keys of unsupported families and variants.
constexpr std::array kRefused = {
    "add_cross_attention",
    "alibi",
    "attention_multiplier",
    "attn_logit_softcapping",
    "attn_temperature_tuning",
    "audio_config",
    "clip_qkv",
    "embedding_multiplier",
    "final_logit_softcapping",
    "first_k_dense_replace",
    "is_encoder_decoder",
    "kv_lora_rank",
    "logit_scale",
    "logits_scaling",
    "moe_intermediate_size",
    "moe_layer_freq",
    "moe_num_experts",
    "n_group",
    "n_routed_experts",
    "n_shared_experts",
    "no_rope_layers",
    "norm_topk_prob",
    "num_experts",
    "num_experts_per_tok",
    "num_experts_shared",
    "num_local_experts",
    "parallel_attn",
    "pruned_heads",
    "q_lora_rank",
    "qk_layernorm",
    "query_pre_attn_scalar",
    "residual_multiplier",
    "rope_interleave",
    "rope_interleaved",
    "rope_local_base_freq",
    "rotary_pct",
    "routed_scaling_factor",
    "scoring_func",
    "shared_expert_intermediate_size",
    "shared_intermediate_size",
    "sparsity_config",
    "text_config",
    "topk_group",
    "topk_method",
    "use_bidirectional_attention",
    "use_expert_bias",
    "use_mrope",
    "use_qk_norm",
    "vision_config",
};

// Keys that are read elsewhere, or that change nothing when serving.
constexpr std::array kHarmless = {
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_flash_attn_2_enabled",
    "_name_or_path",
    "_sliding_window_pattern",
    "architectures",
    "attention_bias",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attn_implementation",
    "attn_pdrop",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "cache_implementation",
    "chunk_size_feed_forward",
    "compression_config",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "embd_pdrop",
    "embed_dropout",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "flash_attn",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "head_dim",
    "hidden_act",
    "hidden_dropout",
    "hidden_dropout_prob",
    "hidden_size",
    "id2label",
    "initializer_range",
    "intermediate_size",
    "is_decoder",
    "label2id",
    "layer_norm_eps",
    "layer_norm_epsilon",
    "layer_types",
    "length_penalty",
    "mask_token_id",
    "max_length",
    "max_position_embeddings",
    "max_sequence_length",
    "max_window_layers",
    "min_length",
    "mlp_bias",
    "model_max_length",
    "model_type",
    "neftune_noise_alpha",
    "no_repeat_ngram_size",
    "norm_eps",
    "num_attention_heads",
    "num_beam_groups",
    "num_beams",
    "num_hidden_layers",
    "num_key_value_heads",
    "num_return_sequences",
    "original_max_position_embeddings",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "output_scores",
    "pad_token_id",
    "partial_rotary_factor",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "quantization_config",
    "remove_invalid_values",
    "repetition_penalty",
    "resid_pdrop",
    "return_dict",
    "return_dict_in_generate",
    "rms_norm_eps",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "router_aux_loss_coef",
    "router_jitter_noise",
    "sep_token_id",
    "seq_length",
    "sliding_window",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tie_word_embeddings",
    "tokenizer_class",
    "tokenizer_model_max_length",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers_version",
    "typical_p",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
    "use_flash_attention",
    "use_flash_attn",
    "use_liger_kernel",
    "use_reentrant",
    "use_sliding_window",
    "vocab_size",
};

bool contains(const auto& sorted, std::string_view key) {
  return std::binary_search(sorted.begin(), sorted.end(), key, [](std::string_view a, std::string_view b) { return a < b; });
}

static_assert(std::is_sorted(kRefused.begin(), kRefused.end(), [](std::string_view a, std::string_view b) { return a < b; }));
static_assert(std::is_sorted(kHarmless.begin(), kHarmless.end(), [](std::string_view a, std::string_view b) { return a < b; }));

// A factor of 1 changes nothing.
bool is_one_factor(std::string_view key, const Json& value) {
  const bool is_factor = key.ends_with("_multiplier") || key.ends_with("_scale") || key.ends_with("_scaling") || key.ends_with("_factor") ||
                         key == "rotary_pct";
  return is_factor && value.is_number() && value.get<double>() == 1.0;
}

}  // namespace

Status check_model_config_keys(std::vector<std::string>& warnings, const Json& config, const ModelFamily& family) {
  const auto is_read = [&](std::string_view key) {
    return contains(kHarmless, key) || std::ranges::find(family.keys, key) != family.keys.end() ||
           std::ranges::find(family.numbers, key, &NumberKey::name) != family.numbers.end();
  };
  for (const auto& [key, value] : config.get_ref<const Json::object_t&>()) {
    if (is_off(value) || is_read(key)) continue;
    if (contains(kRefused, key)) {
      if (is_one_factor(key, value)) continue;
      return error("E_UNSUPPORTED_MODEL", "\"{}\": expected nothing, found {}; models with it are not served", key, shown(value));
    }
    if (is_one_factor(key, value)) continue;
    if (const std::string word = suspicious_word(key, value); !word.empty()) {
      return error("E_UNSUPPORTED_MODEL",
                   "{}: expected nothing, found {}; this key is not known, and {} suggests that it changes the results", quote(key),
                   shown(value), quote(word));
    }
    if (warnings.size() < kKeyWarningsMax)
      warnings.push_back(fmt::format("config.json: {} is not known and left out, as in transformers", quote(key)));
  }
  return {};
}

}  // namespace slora
