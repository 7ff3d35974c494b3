#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "formats/model_config.h"
#include "formats/model_files.h"
#include "model/weight_reader.h"

namespace slora {

// The weights of one decoder layer, as fused products. Widths: q = heads * head_dim, kv = kv_heads * head_dim.
struct LayerWeights {
  std::vector<float> attn_norm;  // [hidden]
  LinearWeight qkv;              // [q + 2 kv, hidden]
  std::vector<float> q_norm;     // [head_dim], or empty
  std::vector<float> k_norm;     // [head_dim], or empty
  LinearWeight o;                // [hidden, q]
  std::vector<float> ffn_norm;   // [hidden]
  LinearWeight gate_up;          // [2 intermediate, hidden]
  LinearWeight down;             // [hidden, intermediate]
};

// All weights of a model in its backend's layout. Const after loading.
struct ModelWeights {
  LinearWeight embedding;  // [vocab, hidden]; empty when tied: the head's rows are read instead
  std::vector<LayerWeights> layers;
  std::vector<float> norm;  // [hidden]
  LinearWeight head;        // [vocab, hidden]

  [[nodiscard]] const LinearWeight& embedding_table() const { return embedding.out != 0 ? embedding : head; }
};

// Holds the names and shapes of the files' tensors against the architecture, without reading a weight. Refuses by name a tensor
// that is missing, has another shape, an element type that isn't a float, or that nothing in the model takes.
[[nodiscard]] Status check_weights(const ModelFiles& files, const ModelConfig& config);

// Reads and packs every tensor, so that peak memory is the packed weights and one chunk a thread. Refuses what check_weights refuses.
[[nodiscard]] Result<ModelWeights> load_weights(const ModelFiles& files, const ModelConfig& config, Backend& backend, const LoadProgress& progress);

// Bytes of the packed weights, for planning the pool.
[[nodiscard]] std::size_t packed_bytes(const ModelConfig& config, const Backend& backend);

}  // namespace slora
