#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/model_config.h"
#include "formats/shard_shape.h"
#include "ops/site.h"

namespace slora {

// One shard's part of a module.
struct ModuleCut {
  Slice out;                     // the outputs to which the shard adds what adapters do
  Slice in;                      // the inputs that the shard has
  std::int32_t slice_begin = 0;  // first of the outputs in the shard's fused product
  bool operator==(const ModuleCut&) const = default;
};

// A linear module of the base by its name in checkpoints, and where its output lies in the fused product of its site.
struct ModuleEntry {
  std::string path;  // "model.layers.0.self_attn.q_proj"
  Site site;
  std::int32_t slice_begin = 0;  // first of its `out` columns in the site's output
  std::int32_t in = 0;
  std::int32_t out = 0;
  bool has_bias = false;
  bool splits_input = false;    // shards hold slices of its inputs, else of its outputs
  std::vector<ModuleCut> cuts;  // [shards]
  std::string stored_as{};      // by which the base's files name it: `path`, but a tied head is stored as the embedding
};

// A norm of the base, or its embedding.
struct OtherModule {
  std::string path;  // "model.layers.0.input_layernorm"
  Site site;
  std::int32_t rows = 0;  // of its weight [rows, columns], where a norm's gain is one row
  std::int32_t columns = 0;
  std::string stored_as;
};

// Every linear module of a model, layer after layer, the head last; and what else of it adapters may change.
struct ModuleTable {
  std::vector<ModuleEntry> modules;
  std::vector<OtherModule> others;
  std::vector<std::uint32_t> by_path;  // indices of modules, by their paths in ascending order: mixtures of experts have thousands
  bool ties_embeddings = false;        // the head reads the embedding's weight
  RopeConfig rope;
  bool has_window_rope = false;  // layers with a window have another
  std::int64_t max_position_embeddings = 0;
  std::int32_t hidden_size = 0;
  std::int32_t vocab_size = 0;
  std::int32_t layer_count = 0;
  std::int32_t shard_count = 1;
  Family family = Family::llama;
  std::int32_t head_count = 0;
  std::int32_t kv_head_count = 0;
  std::int32_t expert_count = 0;  // of each layer, that a router chooses from; their sites are 1 and up
  std::int32_t experts_per_token = 0;

  // The part of all tokens that a site of a layer computes, if the router chooses evenly.
  [[nodiscard]] double token_share(Site site) const {
    return site.expert > 0 ? static_cast<double>(experts_per_token) / expert_count : 1.0;
  }
  // The module of this path, as the family's table writes it or an alias of it, or nullptr.
  [[nodiscard]] const ModuleEntry* find(std::string_view path) const;
  [[nodiscard]] const OtherModule* find_other(std::string_view path) const;
};

// Of a model that is cut into these shards. Requires: shapes of all shards of `config`, in their order.
[[nodiscard]] ModuleTable make_module_table(const ModelConfig& config, std::span<const ShardShape> shards);
// Of a model in one piece.
[[nodiscard]] ModuleTable make_module_table(const ModelConfig& config);

}  // namespace slora
