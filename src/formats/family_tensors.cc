#include "formats/family_tensors.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/model_config.h"

namespace slora {
namespace {

constexpr LayerModule kLlamaLayer[] = {
    {"input_layernorm", TensorRole::attention_norm, Extent::hidden, Extent::one},
    {"self_attn.q_proj", TensorRole::product, Extent::heads, Extent::hidden, SiteKind::qkv, &ModelConfig::qkv_bias},
    {"self_attn.k_proj", TensorRole::product, Extent::kv_heads, Extent::hidden, SiteKind::qkv, &ModelConfig::qkv_bias},
    {"self_attn.v_proj", TensorRole::product, Extent::kv_heads, Extent::hidden, SiteKind::qkv, &ModelConfig::qkv_bias},
    {"self_attn.q_norm", TensorRole::query_norm, Extent::head_dim, Extent::one, {}, nullptr, &ModelConfig::qk_norm},
    {"self_attn.k_norm", TensorRole::key_norm, Extent::head_dim, Extent::one, {}, nullptr, &ModelConfig::qk_norm},
    {"self_attn.o_proj", TensorRole::product, Extent::hidden, Extent::heads, SiteKind::o, &ModelConfig::o_bias},
    {"post_attention_layernorm", TensorRole::mlp_norm, Extent::hidden, Extent::one},
    {"mlp.gate_proj", TensorRole::product, Extent::mlp, Extent::hidden, SiteKind::gate_up, &ModelConfig::mlp_bias},
    {"mlp.up_proj", TensorRole::product, Extent::mlp, Extent::hidden, SiteKind::gate_up, &ModelConfig::mlp_bias},
    {"mlp.down_proj", TensorRole::product, Extent::hidden, Extent::mlp, SiteKind::down, &ModelConfig::mlp_bias},
};

constexpr LayerModule kGemmaLayer[] = {
    {"input_layernorm", TensorRole::attention_norm, Extent::hidden, Extent::one},
    {"self_attn.q_proj", TensorRole::product, Extent::heads, Extent::hidden, SiteKind::qkv, &ModelConfig::qkv_bias},
    {"self_attn.k_proj", TensorRole::product, Extent::kv_heads, Extent::hidden, SiteKind::qkv, &ModelConfig::qkv_bias},
    {"self_attn.v_proj", TensorRole::product, Extent::kv_heads, Extent::hidden, SiteKind::qkv, &ModelConfig::qkv_bias},
    {"self_attn.q_norm", TensorRole::query_norm, Extent::head_dim, Extent::one, {}, nullptr, &ModelConfig::qk_norm},
    {"self_attn.k_norm", TensorRole::key_norm, Extent::head_dim, Extent::one, {}, nullptr, &ModelConfig::qk_norm},
    {"self_attn.o_proj", TensorRole::product, Extent::hidden, Extent::heads, SiteKind::o, &ModelConfig::o_bias},
    {"post_attention_layernorm", TensorRole::attention_out_norm, Extent::hidden, Extent::one},
    {"pre_feedforward_layernorm", TensorRole::mlp_norm, Extent::hidden, Extent::one},
    {"mlp.gate_proj", TensorRole::product, Extent::mlp, Extent::hidden, SiteKind::gate_up},
    {"mlp.up_proj", TensorRole::product, Extent::mlp, Extent::hidden, SiteKind::gate_up},
    {"mlp.down_proj", TensorRole::product, Extent::hidden, Extent::mlp, SiteKind::down},
    {"post_feedforward_layernorm", TensorRole::mlp_out_norm, Extent::hidden, Extent::one},
};

constexpr LayerModule kOlmoLayer[] = {
    {"self_attn.q_proj", TensorRole::product, Extent::heads, Extent::hidden, SiteKind::qkv, &ModelConfig::qkv_bias},
    {"self_attn.k_proj", TensorRole::product, Extent::kv_heads, Extent::hidden, SiteKind::qkv, &ModelConfig::qkv_bias},
    {"self_attn.v_proj", TensorRole::product, Extent::kv_heads, Extent::hidden, SiteKind::qkv, &ModelConfig::qkv_bias},
    {"self_attn.q_norm", TensorRole::query_norm, Extent::heads, Extent::one},
    {"self_attn.k_norm", TensorRole::key_norm, Extent::kv_heads, Extent::one},
    {"self_attn.o_proj", TensorRole::product, Extent::hidden, Extent::heads, SiteKind::o, &ModelConfig::o_bias},
    {"post_attention_layernorm", TensorRole::attention_out_norm, Extent::hidden, Extent::one},
    {"mlp.gate_proj", TensorRole::product, Extent::mlp, Extent::hidden, SiteKind::gate_up},
    {"mlp.up_proj", TensorRole::product, Extent::mlp, Extent::hidden, SiteKind::gate_up},
    {"mlp.down_proj", TensorRole::product, Extent::hidden, Extent::mlp, SiteKind::down},
    {"post_feedforward_layernorm", TensorRole::mlp_out_norm, Extent::hidden, Extent::one},
};

constexpr LayerModule kPhi3Layer[] = {
    {"input_layernorm", TensorRole::attention_norm, Extent::hidden, Extent::one},
    {"self_attn.qkv_proj", TensorRole::product, Extent::heads_and_kv, Extent::hidden, SiteKind::qkv},
    {"self_attn.o_proj", TensorRole::product, Extent::hidden, Extent::heads, SiteKind::o},
    {"post_attention_layernorm", TensorRole::mlp_norm, Extent::hidden, Extent::one},
    {"mlp.gate_up_proj", TensorRole::product, Extent::gate_and_up, Extent::hidden, SiteKind::gate_up},
    {"mlp.down_proj", TensorRole::product, Extent::hidden, Extent::mlp, SiteKind::down},
};

constexpr LayerModule kMixtralLayer[] = {
    {"input_layernorm", TensorRole::attention_norm, Extent::hidden, Extent::one},
    {"self_attn.q_proj", TensorRole::product, Extent::heads, Extent::hidden, SiteKind::qkv, &ModelConfig::qkv_bias},
    {"self_attn.k_proj", TensorRole::product, Extent::kv_heads, Extent::hidden, SiteKind::qkv, &ModelConfig::qkv_bias},
    {"self_attn.v_proj", TensorRole::product, Extent::kv_heads, Extent::hidden, SiteKind::qkv, &ModelConfig::qkv_bias},
    {"self_attn.o_proj", TensorRole::product, Extent::hidden, Extent::heads, SiteKind::o, &ModelConfig::o_bias},
    {"post_attention_layernorm", TensorRole::mlp_norm, Extent::hidden, Extent::one},
    {"block_sparse_moe.gate", TensorRole::product, Extent::experts, Extent::hidden, SiteKind::router, nullptr, nullptr, LayerPart::mixture},
    {"block_sparse_moe.experts.{}.w1", TensorRole::product, Extent::expert_mlp, Extent::hidden, SiteKind::gate_up, nullptr, nullptr,
     LayerPart::each_expert},
    {"block_sparse_moe.experts.{}.w3", TensorRole::product, Extent::expert_mlp, Extent::hidden, SiteKind::gate_up, nullptr, nullptr,
     LayerPart::each_expert},
    {"block_sparse_moe.experts.{}.w2", TensorRole::product, Extent::hidden, Extent::expert_mlp, SiteKind::down, nullptr, nullptr,
     LayerPart::each_expert},
};

constexpr LayerModule kQwen2MoeLayer[] = {
    {"input_layernorm", TensorRole::attention_norm, Extent::hidden, Extent::one},
    {"self_attn.q_proj", TensorRole::product, Extent::heads, Extent::hidden, SiteKind::qkv, &ModelConfig::qkv_bias},
    {"self_attn.k_proj", TensorRole::product, Extent::kv_heads, Extent::hidden, SiteKind::qkv, &ModelConfig::qkv_bias},
    {"self_attn.v_proj", TensorRole::product, Extent::kv_heads, Extent::hidden, SiteKind::qkv, &ModelConfig::qkv_bias},
    {"self_attn.o_proj", TensorRole::product, Extent::hidden, Extent::heads, SiteKind::o, &ModelConfig::o_bias},
    {"post_attention_layernorm", TensorRole::mlp_norm, Extent::hidden, Extent::one},
    {"mlp.gate_proj", TensorRole::product, Extent::mlp, Extent::hidden, SiteKind::gate_up, nullptr, nullptr, LayerPart::dense_mlp},
    {"mlp.up_proj", TensorRole::product, Extent::mlp, Extent::hidden, SiteKind::gate_up, nullptr, nullptr, LayerPart::dense_mlp},
    {"mlp.down_proj", TensorRole::product, Extent::hidden, Extent::mlp, SiteKind::down, nullptr, nullptr, LayerPart::dense_mlp},
    {"mlp.gate", TensorRole::product, Extent::experts, Extent::hidden, SiteKind::router, nullptr, nullptr, LayerPart::mixture},
    {"mlp.shared_expert_gate", TensorRole::product, Extent::one, Extent::hidden, SiteKind::router, nullptr, nullptr, LayerPart::mixture},
    {"mlp.shared_expert.gate_proj", TensorRole::product, Extent::shared_mlp, Extent::hidden, SiteKind::gate_up, nullptr, nullptr,
     LayerPart::mixture},
    {"mlp.shared_expert.up_proj", TensorRole::product, Extent::shared_mlp, Extent::hidden, SiteKind::gate_up, nullptr, nullptr,
     LayerPart::mixture},
    {"mlp.shared_expert.down_proj", TensorRole::product, Extent::hidden, Extent::shared_mlp, SiteKind::down, nullptr, nullptr,
     LayerPart::mixture},
    {"mlp.experts.{}.gate_proj", TensorRole::product, Extent::expert_mlp, Extent::hidden, SiteKind::gate_up, nullptr, nullptr,
     LayerPart::each_expert},
    {"mlp.experts.{}.up_proj", TensorRole::product, Extent::expert_mlp, Extent::hidden, SiteKind::gate_up, nullptr, nullptr,
     LayerPart::each_expert},
    {"mlp.experts.{}.down_proj", TensorRole::product, Extent::hidden, Extent::expert_mlp, SiteKind::down, nullptr, nullptr,
     LayerPart::each_expert},
};

constexpr LayerModule kQwen3MoeLayer[] = {
    {"input_layernorm", TensorRole::attention_norm, Extent::hidden, Extent::one},
    {"self_attn.q_proj", TensorRole::product, Extent::heads, Extent::hidden, SiteKind::qkv, &ModelConfig::qkv_bias},
    {"self_attn.k_proj", TensorRole::product, Extent::kv_heads, Extent::hidden, SiteKind::qkv, &ModelConfig::qkv_bias},
    {"self_attn.v_proj", TensorRole::product, Extent::kv_heads, Extent::hidden, SiteKind::qkv, &ModelConfig::qkv_bias},
    {"self_attn.q_norm", TensorRole::query_norm, Extent::head_dim, Extent::one, {}, nullptr, &ModelConfig::qk_norm},
    {"self_attn.k_norm", TensorRole::key_norm, Extent::head_dim, Extent::one, {}, nullptr, &ModelConfig::qk_norm},
    {"self_attn.o_proj", TensorRole::product, Extent::hidden, Extent::heads, SiteKind::o, &ModelConfig::o_bias},
    {"post_attention_layernorm", TensorRole::mlp_norm, Extent::hidden, Extent::one},
    {"mlp.gate_proj", TensorRole::product, Extent::mlp, Extent::hidden, SiteKind::gate_up, nullptr, nullptr, LayerPart::dense_mlp},
    {"mlp.up_proj", TensorRole::product, Extent::mlp, Extent::hidden, SiteKind::gate_up, nullptr, nullptr, LayerPart::dense_mlp},
    {"mlp.down_proj", TensorRole::product, Extent::hidden, Extent::mlp, SiteKind::down, nullptr, nullptr, LayerPart::dense_mlp},
    {"mlp.gate", TensorRole::product, Extent::experts, Extent::hidden, SiteKind::router, nullptr, nullptr, LayerPart::mixture},
    {"mlp.experts.{}.gate_proj", TensorRole::product, Extent::expert_mlp, Extent::hidden, SiteKind::gate_up, nullptr, nullptr,
     LayerPart::each_expert},
    {"mlp.experts.{}.up_proj", TensorRole::product, Extent::expert_mlp, Extent::hidden, SiteKind::gate_up, nullptr, nullptr,
     LayerPart::each_expert},
    {"mlp.experts.{}.down_proj", TensorRole::product, Extent::hidden, Extent::expert_mlp, SiteKind::down, nullptr, nullptr,
     LayerPart::each_expert},
};

constexpr PathAlias kMixtralEndings[] = {{".mlp.gate", ".block_sparse_moe.gate"}};

// Of text models within models that read images too.
constexpr PathAlias kTextModelAliases[] = {
    {"language_model.model.", "model.language_model."}, {"language_model.lm_head", "lm_head"}, {"model.", "model.language_model."}};
constexpr std::string_view kImageParts[] = {"vision_tower.", "multi_modal_projector.", "model.vision_tower.",
                                            "model.multi_modal_projector."};

}  // namespace

constexpr FamilyTensors kLlamaTensors{"model.embed_tokens", "model.norm", "lm_head", "model.layers", kLlamaLayer};
constexpr FamilyTensors kGemmaTensors{"model.embed_tokens", "model.norm", "lm_head", "model.layers", kGemmaLayer};
constexpr FamilyTensors kGemma3Tensors{"model.language_model.embed_tokens",
                                       "model.language_model.norm",
                                       "lm_head",
                                       "model.language_model.layers",
                                       kGemmaLayer,
                                       kTextModelAliases,
                                       {},
                                       kImageParts};

constexpr FamilyTensors kOlmoTensors{"model.embed_tokens", "model.norm", "lm_head", "model.layers", kOlmoLayer};
constexpr FamilyTensors kPhi3Tensors{"model.embed_tokens", "model.norm", "lm_head", "model.layers", kPhi3Layer};
constexpr FamilyTensors kMixtralTensors{"model.embed_tokens", "model.norm", "lm_head", "model.layers", kMixtralLayer, {}, kMixtralEndings};
constexpr FamilyTensors kQwen2MoeTensors{"model.embed_tokens", "model.norm", "lm_head", "model.layers", kQwen2MoeLayer};
constexpr FamilyTensors kQwen3MoeTensors{"model.embed_tokens", "model.norm", "lm_head", "model.layers", kQwen3MoeLayer};

bool FamilyTensors::can_be_cut() const {
  return std::ranges::none_of(layer, [](const LayerModule& module) {
    const bool is_fused = module.rows == Extent::heads_and_kv || module.rows == Extent::gate_and_up;
    return is_fused || module.part == LayerPart::each_expert ||
           (module.role != TensorRole::product && module.rows != Extent::hidden && module.rows != Extent::head_dim);
  });
}

std::string FamilyTensors::canonical(std::string_view path) const {
  const bool is_canonical = path.starts_with(embedding.substr(0, embedding.rfind('.') + 1)) || leaves_out(path);
  for (const PathAlias& alias : aliases) {
    if (!is_canonical && path.starts_with(alias.from)) return fmt::format("{}{}", alias.to, path.substr(alias.from.size()));
  }
  for (const PathAlias& alias : endings) {
    if (path.ends_with(alias.from)) return fmt::format("{}{}", path.substr(0, path.size() - alias.from.size()), alias.to);
  }
  return std::string(path);
}

bool FamilyTensors::leaves_out(std::string_view path) const {
  return std::ranges::any_of(left_out, [&](std::string_view begin) { return path.starts_with(begin); });
}

}  // namespace slora
