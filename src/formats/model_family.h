#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "formats/family_tensors.h"

namespace slora {

struct ModelConfig;

enum class Family : std::uint8_t {
  llama,
  mistral,
  qwen2,
  qwen3,
  gemma2,
  gemma3_text,
  gemma3,
  granite,
  smollm3,
  olmo2,
  olmo3,
  phi3,
  mixtral,
  qwen2_moe,
  qwen3_moe
};

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
  from_max_window_layers,  // from the layer on that this key names, unless "layer_types" says otherwise
  all_but_every_nth,       // of each period the last has none, unless "layer_types" says otherwise
  every_other_below_max,   // every second, from the first on, below "max_window_layers", unless "layer_types" says otherwise
  without_rope,            // the layers that have no RoPE, unless "layer_types" says otherwise
};

// A number of config.json that only some families have.
struct NumberKey {
  std::string_view name;
  double ModelConfig::*field;
  double if_absent;
  bool is_cap = false;  // null and 0 switch it off; else it is above 0
};

// What RoPE's frequencies are made of where the config does not say.
struct RopeDefaults {
  double theta = 10000.0;
  double window_theta = 0.0;  // of layers with a window; 0: all layers have RoPE alike
  std::string_view window_theta_key = {};
  bool has_longrope = false;  // and heads may rotate in part
};

// The keys of a mixture of experts, and the defaults of those that are absent.
struct MixtureKeys {
  std::string_view count = {};        // empty: the family has no experts
  std::string_view count_since = {};  // as transformers 5 calls it
  std::int32_t count_if_absent = 0, per_token_if_absent = 0;
  std::int32_t width_if_absent = 0;   // of "moe_intermediate_size"; 0: "intermediate_size" is what an expert has
  std::int32_t shared_if_absent = 0;  // of "shared_expert_intermediate_size"; 0: no expert is shared
  bool normalises_shares = false;     // whatever the config says; else where "norm_topk_prob" is true
};

// A model family as data: what its configuration class in transformers reads, and the defaults of keys that are absent.
struct ModelFamily {
  std::string_view model_type;
  std::string_view architecture;
  const FamilyTensors* tensors;
  std::int32_t max_position_embeddings;
  std::int32_t vocab_size = 0;  // 0, here and below: the key may not be absent
  std::int32_t head_count = 0;
  std::int32_t kv_head_count = 0;
  std::int32_t head_dim = 0;          // 0: hidden_size / num_attention_heads
  bool has_as_many_kv_heads = false;  // as heads, where "num_key_value_heads" is absent
  AttentionBias attention_bias = AttentionBias::none;
  bool has_mlp_bias_key = false;  // gate, up and down have biases where "mlp_bias" is true
  bool has_qk_norm = false;       // of every query and key head, before RoPE
  WindowLayers window_layers = WindowLayers::none;
  std::int32_t window_period = 0;   // of all_but_every_nth, where "sliding_window_pattern" is absent
  std::int32_t window_size = 4096;  // where "sliding_window" is absent; 0: none
  bool has_window_switch = false;   // no window unless "use_sliding_window" is true
  std::string_view activation_key = "hidden_act";
  std::string_view activation = "silu";
  double norm_eps = 1e-6;  // where "rms_norm_eps" is absent
  bool ties_embeddings = false;
  RopeDefaults rope = {};
  float gain_offset = 0;            // added to the gain of every norm
  std::int32_t no_rope_period = 0;  // above 0: "no_rope_layers" have no RoPE, else the last of each such number of layers
  bool scales_embedding = false;    // by sqrt(hidden_size), rounded to the type of the weights
  std::span<const NumberKey> numbers = {};
  std::span<const std::string_view> keys = {};  // further ones that are read, or that text does not need
  std::string_view text_type = {};              // the model_type of "text_config", where the keys are
  MixtureKeys mixture = {};
  bool needs_further_ops = false;  // beyond those of Llama: not every backend has them
};

[[nodiscard]] const ModelFamily& traits_of(Family family);
[[nodiscard]] inline std::string_view name_of(Family family) { return traits_of(family).model_type; }
[[nodiscard]] std::optional<Family> find_family(std::string_view model_type);
// The key of config.json that says whether the modules of a site have biases; empty where the family decides.
[[nodiscard]] std::string_view bias_key_of(Family family, SiteKind site);
// "llama, mistral, ... or qwen3"
[[nodiscard]] std::string served_model_types();

}  // namespace slora
