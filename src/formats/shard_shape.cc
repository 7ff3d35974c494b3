#include "formats/shard_shape.h"

#include <algorithm>

#include "base/check.h"

namespace slora {
namespace {

Status check_multiple(std::string_view key, std::int32_t value, std::int32_t shard_count) {
  if (value % shard_count == 0) return {};
  return error("E_SHARDS", "config.json: {} is {}; expected a multiple of the {} shards", key, value, shard_count);
}

Status check_divides(const ModelConfig& config, std::int32_t shard_count) {
  if (shard_count > 1 && !traits_of(config.family).tensors->can_be_cut())
    return error("E_SHARDS", "config.json: \"model_type\": {} models are served in one piece, not in {} shards", name_of(config.family),
                 shard_count);
  if (Status heads = check_multiple("num_attention_heads", config.head_count, shard_count); !heads) return heads;
  const std::int32_t kv_heads = config.kv_head_count;
  if (kv_heads % shard_count != 0 && shard_count % kv_heads != 0) {
    return error("E_SHARDS", "config.json: num_key_value_heads is {}; expected a multiple or a divisor of the {} shards", kv_heads,
                 shard_count);
  }
  if (Status mlp = check_multiple("intermediate_size", config.intermediate_size, shard_count); !mlp) return mlp;
  if (Status hidden = check_multiple("hidden_size", config.hidden_size, shard_count); !hidden) return hidden;
  // With slices of ceil(vocabulary / shards) the last shard would have no token.
  if (std::int64_t{config.vocab_size} <= std::int64_t{shard_count} * (shard_count - 1)) {
    return error("E_SHARDS", "config.json: vocab_size is {}; expected more than {} for the {} shards", config.vocab_size,
                 shard_count * (shard_count - 1), shard_count);
  }
  return {};
}

Slice equal_slice(std::int64_t size, std::int32_t shard_index, std::int32_t shard_count) {
  const std::int64_t count = size / shard_count;
  return {count * shard_index, count};
}

}  // namespace

std::string_view config_keys_of(Extent extent) {
  switch (extent) {
    case Extent::one:
      return "1";
    case Extent::hidden:
      return "hidden_size";
    case Extent::head_dim:
      return "head_dim";
    case Extent::heads:
      return "num_attention_heads x head_dim";
    case Extent::kv_heads:
      return "num_key_value_heads x head_dim";
    case Extent::mlp:
      return "intermediate_size";
    case Extent::vocabulary:
      return "vocab_size";
    case Extent::experts:
      return "the number of experts";
    case Extent::expert_mlp:
      return "the width of an expert";
    case Extent::shared_mlp:
      return "shared_expert_intermediate_size";
    case Extent::heads_and_kv:
      return "(num_attention_heads + 2 x num_key_value_heads) x head_dim";
    case Extent::gate_and_up:
      return "2 x intermediate_size";
  }
  return "?";
}

std::int64_t size_of(const ModelConfig& config, Extent extent) {
  switch (extent) {
    case Extent::one:
      return 1;
    case Extent::hidden:
      return config.hidden_size;
    case Extent::head_dim:
      return config.head_dim;
    case Extent::heads:
      return config.q_width();
    case Extent::kv_heads:
      return config.kv_width();
    case Extent::mlp:
      return config.intermediate_size;
    case Extent::heads_and_kv:
      return config.q_width() + 2 * config.kv_width();
    case Extent::gate_and_up:
      return std::int64_t{2} * config.intermediate_size;
    case Extent::experts:
      return config.mixture.expert_count;
    case Extent::expert_mlp:
      return config.mixture.expert_width;
    case Extent::shared_mlp:
      return config.mixture.shared_width;
    case Extent::vocabulary:
      break;
  }
  return config.vocab_size;
}

Slice ShardShape::slice_of(Extent extent, std::int64_t size) const {
  switch (extent) {
    case Extent::heads:
      return {heads.begin * head_dim, q_width()};
    case Extent::kv_heads:
      return {kv_heads.begin * head_dim, kv_width()};
    case Extent::mlp:
      return mlp;
    case Extent::vocabulary:
      return vocabulary;
    case Extent::one:
    case Extent::hidden:
    case Extent::head_dim:
    case Extent::experts:
    case Extent::expert_mlp:
    case Extent::shared_mlp:
    case Extent::heads_and_kv:
    case Extent::gate_and_up:
      break;
  }
  return {0, size};
}

Result<ShardShape> make_shard_shape(const ModelConfig& config, std::int32_t shard_index, std::int32_t shard_count) {
  check(shard_index >= 0 && shard_index < shard_count, "expected a shard index below the shard count");
  if (Status divides = check_divides(config, shard_count); !divides) return forward_error(divides);
  const auto equal = [&](std::int64_t size) { return equal_slice(size, shard_index, shard_count); };
  ShardShape shape{.shard_index = shard_index, .shard_count = shard_count, .head_dim = config.head_dim};
  shape.heads = equal(config.head_count);
  const std::int64_t kv_heads = config.kv_head_count;
  shape.kv_heads = kv_heads >= shard_count ? equal(kv_heads) : Slice{shard_index * kv_heads / shard_count, 1};
  shape.mlp = equal(config.intermediate_size);
  shape.hidden = equal(config.hidden_size);
  const std::int64_t vocabulary = config.vocab_size, count = (vocabulary + shard_count - 1) / shard_count;
  shape.vocabulary = {shard_index * count, std::min(count, vocabulary - shard_index * count)};
  return shape;
}

ShardShape whole_shape(const ModelConfig& config) {
  ShardShape shape{.head_dim = config.head_dim};
  shape.heads = {0, config.head_count};
  shape.kv_heads = {0, config.kv_head_count};
  shape.mlp = {0, config.intermediate_size};
  shape.vocabulary = {0, config.vocab_size};
  shape.hidden = {0, config.hidden_size};
  return shape;
}

}  // namespace slora
