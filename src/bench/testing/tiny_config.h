#pragma once
#include <string_view>

// A model config small enough for random weights to be made and run within a test.
namespace slora::bench::testing {

inline constexpr std::string_view kTinyConfig = R"({
  "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 320, "hidden_size": 64, "intermediate_size": 96,
  "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_act": "silu", "rms_norm_eps": 1e-05,
  "rope_theta": 10000.0, "max_position_embeddings": 512, "tie_word_embeddings": true})";

}  // namespace slora::bench::testing
