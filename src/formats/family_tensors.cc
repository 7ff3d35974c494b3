#include "formats/family_tensors.h"

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

}  // namespace

constexpr FamilyTensors kLlamaTensors{"model.embed_tokens", "model.norm", "lm_head", "model.layers", kLlamaLayer};

}  // namespace slora
