#include "formats/model_family.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace slora {
namespace {

// In the order of Family.
constexpr std::array<ModelFamily, 4> kFamilies = {{
    {.model_type = "llama",
     .architecture = "LlamaForCausalLM",
     .tensors = kLlamaTensors,
     .max_position_embeddings = 2048,
     .has_as_many_kv_heads = true,
     .attention_bias = AttentionBias::by_key,
     .has_mlp_bias_key = true},
    {.model_type = "mistral",
     .architecture = "MistralForCausalLM",
     .tensors = kLlamaTensors,
     .max_position_embeddings = 131072,
     .window_layers = WindowLayers::all},
    {.model_type = "qwen2",
     .architecture = "Qwen2ForCausalLM",
     .tensors = kLlamaTensors,
     .max_position_embeddings = 32768,
     .attention_bias = AttentionBias::qkv,
     .window_layers = WindowLayers::from_max_window_layers,
     .has_window_switch = true},
    {.model_type = "qwen3",
     .architecture = "Qwen3ForCausalLM",
     .tensors = kLlamaTensors,
     .max_position_embeddings = 32768,
     .head_dim = 128,
     .attention_bias = AttentionBias::by_key,
     .has_qk_norm = true,
     .window_layers = WindowLayers::from_max_window_layers,
     .has_window_switch = true},
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
