#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "ops/site.h"

namespace slora {

struct ModelConfig;

// What a dimension of a model's tensor counts. Shards hold slices of heads, kv_heads, mlp and vocabulary; a dimension of the other kinds
// is whole on every shard. The last two are of modules that are fused in the files.
enum class Extent : std::uint8_t {
  one,
  hidden,
  head_dim,
  heads,
  kv_heads,
  mlp,
  vocabulary,
  experts,     // that a router chooses from
  expert_mlp,  // of one of them
  shared_mlp,  // of the expert that all rows share
  heads_and_kv,
  gate_and_up
};

// What the model does with a tensor.
enum class TensorRole : std::uint8_t {
  product,             // a module of a site's fused product
  embedding,           // [vocabulary, hidden]
  attention_norm,      // gain before q, k and v
  query_norm,          // gain of every query head
  key_norm,            // gain of every key head
  attention_out_norm,  // gain of what attention gives, before it is added to the residual
  mlp_norm,            // gain before gate and up
  mlp_out_norm,        // gain of what the MLP gives
  output_norm,         // gain before the head
};

// Which layers have a module.
enum class LayerPart : std::uint8_t {
  every_layer,
  dense_mlp,    // layers without a mixture of experts
  mixture,      // layers with one
  each_expert,  // the same, once for each expert that the router chooses from
};

// A module of every layer.
struct LayerModule {
  std::string_view name;  // after the layer's prefix; "{}" stands for an expert's index
  TensorRole role;
  Extent rows, columns;
  SiteKind site = SiteKind::qkv;            // of a product
  bool ModelConfig::*has_bias = nullptr;    // null: never
  bool ModelConfig::*is_present = nullptr;  // null: always
  LayerPart part = LayerPart::every_layer;
};

// Another beginning or end of a module's path.
struct PathAlias {
  std::string_view from, to;
};

// How a family's checkpoints name and shape the modules. Modules of one site stand in the order of their outputs in the fused product.
struct FamilyTensors {
  std::string_view embedding, output_norm, head;
  std::string_view layer_prefix;  // then ".", the layer's index and "."
  std::span<const LayerModule> layer;
  std::span<const PathAlias> aliases{};          // of older files, and of adapters that were trained with another class
  std::span<const PathAlias> endings{};          // the same of ends of paths, of modules that transformers 5 calls otherwise
  std::span<const std::string_view> left_out{};  // beginnings of tensors that no text needs

  // The path as the tables above write it.
  [[nodiscard]] std::string canonical(std::string_view path) const;
  [[nodiscard]] bool leaves_out(std::string_view path) const;
  // Whether shards can have slices of each module: not of those that are fused in the files, of experts, nor of norms over all heads.
  [[nodiscard]] bool can_be_cut() const;
};

// Llama, Mistral, Qwen2 and Qwen3.
extern const FamilyTensors kLlamaTensors;
// Gemma 2 and the text models of Gemma 3, which have four norms a layer.
extern const FamilyTensors kGemmaTensors;
// Gemma 3 with its vision tower.
extern const FamilyTensors kGemma3Tensors;
// OLMo 2 and 3, which have norms after attention and MLP only, and norms of all query heads, and all key heads, together.
extern const FamilyTensors kOlmoTensors;
// Mixtral, Qwen2-MoE with its shared expert, and Qwen3-MoE.
extern const FamilyTensors kMixtralTensors;
extern const FamilyTensors kQwen2MoeTensors;
extern const FamilyTensors kQwen3MoeTensors;
// Phi 3 and 4, where q, k and v are one module, and gate and up another.
extern const FamilyTensors kPhi3Tensors;

}  // namespace slora
