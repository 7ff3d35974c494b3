#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend/backend.h"
#include "formats/model_config.h"
#include "model/backward_layer.h"
#include "model/kv_geometry.h"
#include "tensor/buffer.h"
#include "train/trained_adapter.h"

namespace slora {

class TensorPlan;

// What the memory of passes over micro-batches is made for.
struct PassLimits {
  std::int64_t rows = 0;         // of a micro-batch, at most
  std::int64_t samples = 0;      // the same
  std::int64_t head_rows = 0;    // of logits at a time
  std::int32_t kept_layers = 0;  // whose values are kept between forward and backward, the last ones of those that are trained; the others
                                 // are computed again
};

// Sizes that follow from the model and the adapter.
struct PassShape {
  std::int64_t hidden = 0, q = 0, kv = 0, intermediate = 0, vocabulary = 0;
  bool has_qk_norm = false, has_branch_norm = false;
  std::int32_t layer_count = 0, first_layer = 0;               // the first with a trained module
  std::int64_t z_qkv = 0, z_o = 0, z_gate_up = 0, z_down = 0;  // columns of z at these sites, the most of all layers

  [[nodiscard]] std::int32_t trained_layers() const { return layer_count - first_layer; }
};
[[nodiscard]] PassShape pass_shape_of(const ModelConfig& config, const ShardShape& shape, const AdapterMasters& masters);

// Everything that passes compute in, allocated once. Owned by a SamplePass.
class PassMemory {
 public:
  PassMemory(const PassShape& shape, const KvGeometry& kv, const PassLimits& limits, Backend& backend);
  PassMemory(const PassMemory&) = delete;
  PassMemory& operator=(const PassMemory&) = delete;
  // What the constructor allocates.
  [[nodiscard]] static std::size_t bytes_for(const PassShape& shape, const KvGeometry& kv, const PassLimits& limits,
                                             const Backend& backend);

  // Views of the first `rows` rows. The values of a layer: of its own, or those that layers share which are computed again.
  [[nodiscard]] KeptLayer layer(std::int32_t layer, std::int64_t rows) const;
  [[nodiscard]] bool is_kept(std::int32_t layer) const { return layer >= shape_.layer_count - limits_.kept_layers; }
  // [rows, hidden] fp32: the residual that the attention norm of a trained layer reads, or with the count of layers the last norm; of
  // layers below the first trained one all the same.
  [[nodiscard]] Tensor residual(std::int32_t layer, std::int64_t rows) const;
  [[nodiscard]] LayerGradients gradients(std::int64_t rows) const;
  [[nodiscard]] Tensor hidden(std::int64_t rows) const { return scratch_.h.rows_from(0, rows); }     // [rows, hidden] product
  [[nodiscard]] Tensor head_in(std::int64_t rows) const { return head_in_.rows_from(0, rows); }      // [rows, hidden] product
  [[nodiscard]] Tensor logits(std::int64_t rows) const { return logits_.rows_from(0, rows); }        // [rows, vocabulary] fp32
  [[nodiscard]] Tensor d_head_in(std::int64_t rows) const { return d_head_in_.rows_from(0, rows); }  // [rows, hidden] fp32
  [[nodiscard]] KvLayer kv() const { return kv_.layer(0, pages_.data()); }                           // of any layer: only one is in use
  [[nodiscard]] const PassShape& shape() const { return shape_; }
  [[nodiscard]] const PassLimits& limits() const { return limits_; }

 private:
  struct Values {  // of a layer
    Tensor mlp_residual, qkv, qk, attn, gate_up, attention_branch, mlp_branch, z_qkv, z_o, z_gate_up, z_down;
  };
  struct Scratch {  // of all layers
    Tensor x, h, ff;
    Tensor zeros;
  };
  PassMemory(const PassShape& shape, const KvGeometry& kv, const PassLimits& limits);
  void plan(TensorPlan& plan, const Backend& backend);
  void plan_values(TensorPlan& plan, Values& values, const Backend& backend) const;
  void plan_gradients(TensorPlan& plan, const Backend& backend);
  [[nodiscard]] std::size_t pages_bytes() const;

  const PassShape shape_;
  const KvGeometry kv_;  // of one layer
  const PassLimits limits_;
  Buffer memory_, pages_;
  std::vector<Values> values_;     // [1 + kept layers], first what the other layers share
  std::vector<Tensor> residuals_;  // [1 + trained layers + 1], first that of layers below
  Scratch scratch_;
  LayerGradients d_;
  Tensor head_in_, logits_, d_head_in_;
  std::vector<std::int32_t> rows_;  // 0, 1, ...
};

}  // namespace slora
