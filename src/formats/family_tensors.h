#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "ops/site.h"

namespace slora {

struct ModelConfig;

// What a dimension of a model's tensor counts. Shards hold slices of heads, kv_heads, mlp and vocabulary; a dimension of the other kinds
// is whole on every shard.
enum class Extent : std::uint8_t { one, hidden, head_dim, heads, kv_heads, mlp, vocabulary };

// What the model does with a tensor.
enum class TensorRole : std::uint8_t {
  product,         // a module of a site's fused product
  embedding,       // [vocabulary, hidden]
  attention_norm,  // gain before q, k and v
  query_norm,      // gain of every query head
  key_norm,        // gain of every key head
  mlp_norm,        // gain before gate and up
  output_norm,     // gain before the head
};

// A module of every layer.
struct LayerModule {
  std::string_view name;  // after the layer's prefix
  TensorRole role;
  Extent rows, columns;
  SiteKind site = SiteKind::qkv;            // of a product
  bool ModelConfig::*has_bias = nullptr;    // null: never
  bool ModelConfig::*is_present = nullptr;  // null: always
};

// How a family's checkpoints name and shape the modules. Modules of one site stand in the order of their outputs in the fused product.
struct FamilyTensors {
  std::string_view embedding, output_norm, head;
  std::string_view layer_prefix;  // then ".", the layer's index and "."
  std::span<const LayerModule> layer;
};

// Llama, Mistral, Qwen2 and Qwen3.
extern const FamilyTensors kLlamaTensors;

}  // namespace slora
