#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "formats/model_config.h"
#include "formats/model_files.h"
#include "formats/model_tensors.h"
#include "model/input_squares.h"
#include "model/weight_reader.h"

namespace slora {

// The weights of one decoder layer on one shard, as fused products. Widths are the shard's: q = heads * head_dim, kv = kv_heads * head_dim,
// and its slice of the intermediate size; hidden is whole. The biases of o and down hold this shard's slice of the outputs, zeros
// elsewhere: shards' products are added up.
struct LayerWeights {
  DeviceVector attn_norm;        // [hidden], as every norm of that size empty where the family has none
  LinearWeight qkv;              // [q + 2 kv, hidden]
  DeviceVector q_norm;           // [head_dim], or empty
  DeviceVector k_norm;           // [head_dim], or empty
  LinearWeight o;                // [hidden, q]
  DeviceVector attn_out_norm;    // [hidden]
  DeviceVector ffn_norm;         // [hidden]
  std::vector<MlpWeights> mlps;  // [1], or with a mixture [1 + experts]: first that of all rows, which may be empty
  LinearWeight router;           // [experts and, if one is shared, 1, hidden]; empty where there is no mixture
  DeviceVector ffn_out_norm;     // [hidden]
};

// The weights of one shard of a model in its backend's layout. Const after loading.
struct ModelWeights {
  ShardShape shape;
  LinearWeight embedding;  // [vocab slice, hidden]; empty when tied: the head's rows are read instead
  std::vector<LayerWeights> layers;
  DeviceVector norm;  // [hidden]
  LinearWeight head;  // [vocab slice, hidden]

  [[nodiscard]] const LinearWeight& embedding_table() const { return embedding.out != 0 ? embedding : head; }
};

// With a place for every weight, all of them empty.
[[nodiscard]] ModelWeights make_model_weights(const ModelConfig& config, const ShardShape& shape);

// Holds the names and shapes of the files' tensors against the architecture, without reading a weight. Refuses by name a tensor
// that is missing, has another shape, an element type that isn't a float, or that nothing in the model takes.
[[nodiscard]] Status check_weights(const ModelFiles& files, const ModelConfig& config);

// Reads and packs the shard's part of every tensor, so that peak memory is the packed weights and one chunk per thread. Refuses what
// check_weights refuses, and numbers that are not finite (E_NONFINITE). With `squares`, rounding to four bits counts errors by them.
[[nodiscard]] Result<ModelWeights> load_weights(const ModelFiles& files, const ModelConfig& config, const ShardShape& shape,
                                                Backend& backend, const LoadProgress& progress, const InputSquares* squares = nullptr);

// Bytes of a shard's packed weights, for planning the pool. `files`: null if they are drawn.
[[nodiscard]] std::size_t packed_bytes(const ModelConfig& config, const ModelFiles* files, const ShardShape& shape, const Backend& backend);

// Where the tensors of a table go. Requires: `weights` of make_model_weights(); `entry` is a matrix, or a gain.
[[nodiscard]] LinearWeight& product_of(ModelWeights& weights, const TensorEntry& entry);
[[nodiscard]] DeviceVector& gain_of(ModelWeights& weights, const TensorEntry& entry);

}  // namespace slora
