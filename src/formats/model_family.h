#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "formats/family_tensors.h"

namespace slora {

enum class Family : std::uint8_t { llama, mistral, qwen2, qwen3 };

// Which products of attention have biases.
enum class AttentionBias : std::uint8_t {
  none,
  qkv,     // whatever the config says
  by_key,  // q, k, v and o, where "attention_bias" is true
};

// Layers whose attention may have a window.
enum class WindowLayers : std::uint8_t {
  none,  // whatever the config says
  all,
  from_max_window_layers,  // from the layer on that this key tells, unless "layer_types" says otherwise
};

// A model family as data: what its configuration class in transformers reads, and the defaults of keys that are absent.
struct ModelFamily {
  std::string_view model_type;
  std::string_view architecture;
  const FamilyTensors& tensors;
  std::int32_t max_position_embeddings;
  std::int32_t head_dim = 0;          // 0: hidden_size / num_attention_heads
  bool has_as_many_kv_heads = false;  // as heads; else "num_key_value_heads" has no default that is right for all sizes
  AttentionBias attention_bias = AttentionBias::none;
  bool has_mlp_bias_key = false;  // gate, up and down have biases where "mlp_bias" is true
  bool has_qk_norm = false;       // of every query and key head, before RoPE
  WindowLayers window_layers = WindowLayers::none;
  bool has_window_switch = false;  // no window unless "use_sliding_window" is true
};

[[nodiscard]] const ModelFamily& traits_of(Family family);
[[nodiscard]] inline std::string_view name_of(Family family) { return traits_of(family).model_type; }
[[nodiscard]] std::optional<Family> find_family(std::string_view model_type);
// The key of config.json that says whether the modules of a site have biases; empty where the family decides.
[[nodiscard]] std::string_view bias_key_of(Family family, SiteKind site);
// "llama, mistral, ... or qwen3"
[[nodiscard]] std::string served_model_types();

}  // namespace slora
