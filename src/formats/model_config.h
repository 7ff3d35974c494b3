#pragma once
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/json.h"
#include "formats/model_family.h"
#include "formats/rope_config.h"
#include "ops/activation.h"

namespace slora {

// Experts of which each token has some, in place of an MLP.
struct MixtureConfig {
  std::int32_t expert_count = 0;       // that the router chooses from, in each of `layers`; 0: no layer has experts
  std::int32_t experts_per_token = 0;  // at most expert_count
  std::int32_t expert_width = 0;
  std::int32_t shared_width = 0;   // of the expert that all tokens have; 0: there is none
  bool normalises_shares = false;  // of a token's experts, so that they add up to 1
  std::vector<bool> layers;        // [layer_count], or empty
};

// A causal language model's `config.json`, with the reference implementation's defaults for absent keys. Sizes are positive,
// consistent, and small enough that products of two of them fit in 64 bits.
struct ModelConfig {
  Family family = Family::llama;
  std::int32_t vocab_size = 0;
  std::int32_t hidden_size = 0;
  std::int32_t intermediate_size = 0;
  std::int32_t layer_count = 0;
  std::int32_t head_count = 0;  // a multiple of kv_head_count
  std::int32_t kv_head_count = 0;
  std::int32_t head_dim = 0;  // even
  double rms_norm_eps = 1e-6;
  Activation activation = Activation::silu;
  bool tie_embeddings = false;
  bool qkv_bias = false;  // q, k and v products have biases
  bool o_bias = false;
  bool mlp_bias = false;  // gate, up and down have biases
  bool qk_norm = false;   // RMS norm of every q and k head before RoPE
  std::int64_t max_position_embeddings = 0;
  std::vector<std::int32_t> window;  // [layer_count]: position i sees the `window` positions i - window + 1 .. i; 0: all
  RopeConfig rope;
  std::optional<RopeConfig> window_rope;  // of layers with a window, where it is another
  std::vector<bool> without_rope;         // [layer_count], or empty: no such layer
  double query_scalar = 0.0;              // scores are divided by its root; 0: by that of head_dim
  double score_multiplier = 0.0;          // above 0: multiplies scores instead
  double score_cap = 0.0;                 // above 0: scores are cap * tanh(score / cap)
  double logit_cap = 0.0;                 // the same of logits
  double embedding_scale = 1.0;           // multiplies what the embedding gives
  double branch_scale = 1.0;              // multiplies what attention and MLP give before it is added
  double logit_divisor = 1.0;             // divides logits
  MixtureConfig mixture;
  std::string dtype;                  // of the weights, as the config says: "bfloat16"; may be empty
  std::vector<std::string> warnings;  // for the log

  [[nodiscard]] std::int32_t q_width() const { return head_count * head_dim; }
  [[nodiscard]] std::int32_t kv_width() const { return kv_head_count * head_dim; }
  [[nodiscard]] float score_scale() const {
    if (score_multiplier > 0.0) return static_cast<float>(score_multiplier);
    return 1.0f / std::sqrt(static_cast<float>(query_scalar > 0.0 ? query_scalar : head_dim));
  }
  [[nodiscard]] bool has_rope(std::int32_t layer) const { return without_rope.empty() || !without_rope[static_cast<std::size_t>(layer)]; }
  [[nodiscard]] bool has_mixture(std::int32_t layer) const {
    return !mixture.layers.empty() && mixture.layers[static_cast<std::size_t>(layer)];
  }
  // Whether it computes with ops that models like Llama do without: not every backend has them.
  [[nodiscard]] bool needs_further_ops() const {
    return traits_of(family).needs_further_ops || activation != Activation::silu || rope.rotary_share != 1.0;
  }
};

// E_NO_CONFIG, E_BAD_JSON, E_MODEL_CONFIG (an impossible value) or E_UNSUPPORTED_MODEL (a setting that would change the results and is
// not supported), always with key and value.
Result<ModelConfig> parse_model_config(const Json& config);
// Reads `folder`/config.json, or what a GGUF file at this path says instead (is_gguf_path()). open_model_folder() also holds it against the
// weight files.
Result<ModelConfig> read_model_config(const std::string& folder);

}  // namespace slora
