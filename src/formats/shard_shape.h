#pragma once
#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "formats/family_tensors.h"
#include "formats/model_config.h"

namespace slora {

// Indices [begin, begin + count).
struct Slice {
  std::int64_t begin = 0;
  std::int64_t count = 0;

  [[nodiscard]] std::int64_t end() const { return begin + count; }
  bool operator==(const Slice&) const = default;
};

[[nodiscard]] std::int64_t size_of(const ModelConfig& config, Extent extent);
// The keys of config.json that give it: "num_key_value_heads x head_dim".
[[nodiscard]] std::string_view config_keys_of(Extent extent);
[[nodiscard]] constexpr bool is_cut(Extent extent) {
  return extent == Extent::heads || extent == Extent::kv_heads || extent == Extent::mlp || extent == Extent::vocabulary;
}

// The part of a model that one of `shard_count` shards holds: its heads, and its slices of the MLP's and the vocabulary's dimension.
// Plain data; everything that is cut by shards (weights, KV cache, activations, adapter images) takes its sizes from here.
struct ShardShape {
  std::int32_t shard_index = 0;
  std::int32_t shard_count = 1;
  std::int32_t head_dim = 0;
  Slice heads{};
  Slice kv_heads{};    // the heads' own; with fewer KV heads than shards, several shards hold the same one
  Slice mlp{};         // of the intermediate size
  Slice vocabulary{};  // of equal counts, but for the last shards'
  Slice hidden{};      // outputs of o and down whose bias and adapters this shard adds; all shards hold all of the hidden size

  [[nodiscard]] std::int64_t q_width() const { return heads.count * head_dim; }
  [[nodiscard]] std::int64_t kv_width() const { return kv_heads.count * head_dim; }

  // Tokens from the first of one shard to the first of the next.
  [[nodiscard]] std::int64_t vocabulary_stride() const { return shard_index == 0 ? vocabulary.count : vocabulary.begin / shard_index; }

  // This shard's part of a dimension. Requires: `size` is the dimension's size in the whole model.
  [[nodiscard]] Slice slice_of(Extent extent, std::int64_t size) const;
};

// E_SHARDS, with config key, value and shard count, when the model can't be cut so. Requires: 0 <= shard_index < shard_count.
[[nodiscard]] Result<ShardShape> make_shard_shape(const ModelConfig& config, std::int32_t shard_index, std::int32_t shard_count);

// The whole model as one shard.
[[nodiscard]] ShardShape whole_shape(const ModelConfig& config);

}  // namespace slora
