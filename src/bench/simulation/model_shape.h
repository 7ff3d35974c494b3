#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace slora::bench {

// What determines the cost of a model's steps. Numbers are 2 bytes each (bf16), as weights, KV and adapters alike.
struct ModelShape {
  std::string_view name;
  std::int32_t layer_count = 0;
  std::int32_t hidden = 0, intermediate = 0;
  std::int32_t heads = 0, kv_heads = 0, head_dim = 0;
  std::int32_t vocabulary = 0;

  static constexpr double kNumberBytes = 2;

  [[nodiscard]] double q_width() const { return static_cast<double>(heads) * head_dim; }
  [[nodiscard]] double kv_width() const { return static_cast<double>(kv_heads) * head_dim; }
  // Numbers in q, k, v and o of all layers: what merging an adapter reads and writes.
  [[nodiscard]] double attention_parameters() const;
  // Numbers that every token is multiplied with: attention and MLP of all layers. Norms and the embedding are left out.
  [[nodiscard]] double layer_parameters() const;
  [[nodiscard]] double head_parameters() const { return static_cast<double>(hidden) * vocabulary; }
  // All that stays in memory: layers, head and embedding.
  [[nodiscard]] double weight_bytes() const { return kNumberBytes * (layer_parameters() + 2 * head_parameters()); }
  // K and V of one token in all layers.
  [[nodiscard]] double kv_bytes_per_token() const { return kNumberBytes * 2 * kv_width() * layer_count; }
  // Numbers in A and B of one adapter on q, k, v and o of all layers.
  [[nodiscard]] double adapter_parameters(std::int32_t rank) const;
  [[nodiscard]] double adapter_bytes(std::int32_t rank) const { return kNumberBytes * adapter_parameters(rank); }

  // Tokens of a page: as the engine chooses them, the power of two from 2 to 32 with which a page is nearest to 1 MiB.
  [[nodiscard]] std::int32_t page_tokens() const;
  [[nodiscard]] double page_bytes() const { return page_tokens() * kv_bytes_per_token(); }
  // Pages of an image, whole ones. With as many KV as query heads, 4 x rank x kv_bytes_per_token bytes: S-LoRA's paging law.
  [[nodiscard]] std::uint32_t adapter_pages(std::int32_t rank) const;
};

// The models of the published studies, and two with grouped-query attention.
[[nodiscard]] std::span<const ModelShape> model_shapes();
[[nodiscard]] std::optional<ModelShape> find_model_shape(std::string_view name);

}  // namespace slora::bench
