#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/family_tensors.h"
#include "formats/model_config.h"
#include "formats/shard_shape.h"
#include "ops/site.h"

namespace slora {

// One module of the model: `stored_as`.weight [rows, columns], or [rows] when the columns are `one`; and, with a bias, `stored_as`.bias
// [rows].
struct TensorEntry {
  TensorRole role;
  Site site;              // of a product; of a gain only the layer counts
  std::string module;     // by which adapters name it: "model.layers.0.self_attn.q_proj"
  std::string stored_as;  // by which the files name it: `module`, but a tied head is stored as the embedding
  Extent row_extent, column_extent;
  std::int64_t rows, columns;
  std::int64_t slice_begin = 0;  // first of its rows in the fused product
  bool has_bias = false;

  [[nodiscard]] bool is_matrix() const { return role == TensorRole::product || role == TensorRole::embedding; }
  // A row for each token of the vocabulary, or for each expert: choices follow from these products, and no later layer evens out their
  // errors.
  [[nodiscard]] bool is_table() const {
    return role == TensorRole::embedding || (is_matrix() && (site.kind == SiteKind::head || site.kind == SiteKind::router));
  }
  // Shards hold slices of the inputs: their products are partial sums.
  [[nodiscard]] bool splits_input() const { return is_cut(column_extent); }

  [[nodiscard]] Slice row_slice(const ShardShape& shape) const { return shape.slice_of(row_extent, rows); }
  [[nodiscard]] Slice column_slice(const ShardShape& shape) const { return shape.slice_of(column_extent, columns); }
  // Outputs to which this shard adds the bias and what adapters do. Of partial sums each output's belongs to one shard.
  [[nodiscard]] Slice output_slice(const ShardShape& shape) const { return splits_input() ? shape.hidden : row_slice(shape); }
};

// Every tensor that the architecture has, in the order head, embedding, layer after layer, output norm. The modules of one fused product
// follow each other. The one place where the names of checkpoints stand: checking, placing, packing, byte counts, random weights and the
// adapters' module table are derived from it.
struct ModelTensors {
  std::vector<TensorEntry> entries;
  // The matrices: each span holds the modules of one fused product, or the embedding.
  [[nodiscard]] std::vector<std::span<const TensorEntry>> products() const;
};

[[nodiscard]] ModelTensors make_model_tensors(const ModelConfig& config);

// [outputs, inputs] of a fused product on one shard.
struct ProductShape {
  std::int64_t out = 0, in = 0;
};
[[nodiscard]] ProductShape product_shape(std::span<const TensorEntry> modules, const ShardShape& shape);

}  // namespace slora
