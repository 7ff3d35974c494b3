#pragma once
#include <cstddef>
#include <cstdint>

#include "backend/op_args.h"
#include "formats/model_config.h"
#include "formats/shard_shape.h"
#include "tensor/dtype.h"

namespace slora {

// How one page holds the K and V of `page_tokens` tokens for all layers, on one shard:
// layers x {K, V} x [kv_heads, page_tokens, head_dim].
struct KvGeometry {
  std::int32_t layer_count = 0;
  std::int32_t kv_heads = 0;
  std::int32_t head_dim = 0;
  std::int32_t page_tokens = 0;
  DType dtype = DType::f32;

  [[nodiscard]] std::size_t block_bytes() const {
    return static_cast<std::size_t>(page_tokens) * static_cast<std::size_t>(kv_heads) * static_cast<std::size_t>(head_dim) *
           bytes_of(dtype);
  }
  // Rounded up to whole cache lines, as PageArena requires.
  [[nodiscard]] std::size_t page_bytes() const {
    const std::size_t bytes = block_bytes() * 2 * static_cast<std::size_t>(layer_count);
    return (bytes + 63) / 64 * 64;
  }
  [[nodiscard]] KvLayer layer(std::int32_t index, std::byte* base) const {
    const std::size_t k_offset = static_cast<std::size_t>(index) * 2 * block_bytes();
    return {base, page_bytes(), k_offset, k_offset + block_bytes(), page_tokens, kv_heads, head_dim};
  }
};

[[nodiscard]] KvGeometry make_kv_geometry(const ModelConfig& config, const ShardShape& shape, DType dtype, std::int32_t page_tokens);
// Of a model in one piece.
[[nodiscard]] KvGeometry make_kv_geometry(const ModelConfig& config, DType dtype, std::int32_t page_tokens);

// The power of two from 2 to 32 with which a page is closest to 1 MiB.
[[nodiscard]] std::int32_t default_page_tokens(const ModelConfig& config, const ShardShape& shape, DType dtype);
[[nodiscard]] std::int32_t default_page_tokens(const ModelConfig& config, DType dtype);

}  // namespace slora
