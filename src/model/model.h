#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>

#include "backend/backend.h"
#include "comm/communicator.h"
#include "formats/model_config.h"
#include "model/activations.h"
#include "model/decoder_layer.h"
#include "model/forward_batch.h"
#include "model/kv_geometry.h"
#include "model/rope.h"
#include "model/weights.h"

namespace slora {

// The most that one forward pass may hold.
struct ModelLimits {
  std::int32_t step_tokens_max = 512;
  std::int32_t output_rows_max = 256;
  std::int32_t z_cols_max = 1536;      // columns of shrink results at one site
  std::int64_t position_count = 2048;  // positions that occur
  // The same of adapters that extend the context, for each of kRopePartsMax factors; 0: there are none.
  std::int64_t extended_position_count = 0;
};

// One shard of a decoder, for every family: the config's flags say what differs. Owns weights and activations; forward() and logits() are
// called by the shard's thread only, on all shards with batches that differ in their adapters' views only.
class Model {
 public:
  // `backend` and `communicator` outlive the model.
  Model(ModelConfig config, ModelWeights weights, Backend& backend, Communicator& communicator, const KvGeometry& kv,
        const ModelLimits& limits);
  // What the constructor allocates and memory is taken for: activations and RoPE tables.
  [[nodiscard]] static std::size_t scratch_bytes(const ModelConfig& config, const ShardShape& shape, const Backend& backend,
                                                 const ModelLimits& limits);

  // Computes what logits() reads, and writes K and V of the batch's rows into the pool at `pool`. `after_layer`, unless it is empty, is
  // called after each layer: a step may take long. Requires: the batch is within the limits.
  void forward(const ForwardBatch& batch, std::byte* pool, const std::function<void()>& after_layer = {});

  // The hidden states that the head reads, after the last norm: [rows, hidden] product, equal on all shards. Requires: forward() was last
  // called for a batch of as many rows, whose ops are done.
  [[nodiscard]] Tensor hidden(std::int64_t rows) const { return activations_.views(rows, 0).h; }

  // Logits [block.rows, vocab] fp32 on shard 0, valid until the next call; on another shard those of its part of the vocabulary. Requires:
  // forward() was last called for `batch`; at most output_rows_max rows.
  [[nodiscard]] Tensor logits(const ForwardBatch& batch, const OutputBlock& block);

  // Makes a part of the RoPE table that of linear RoPE with this factor, instead of the model's own, for as many positions as the factor
  // makes of the model's. Any thread, one at a time; no batch that is computed meanwhile may use the part. Requires: part < kRopePartsMax;
  // limits with extended positions.
  void fill_rope_part(std::int32_t part, double factor);
  // The row of position 0 of a part.
  [[nodiscard]] std::int32_t rope_begin_of(std::int32_t part) const { return rope_.begin_of(part); }

  [[nodiscard]] const ModelConfig& config() const { return config_; }
  [[nodiscard]] const ModelWeights& weights() const { return weights_; }
  [[nodiscard]] const KvGeometry& kv_geometry() const { return kv_; }
  [[nodiscard]] const ModelLimits& limits() const { return limits_; }

 private:
  [[nodiscard]] LayerContext context_of(const ForwardBatch& batch);

  const ModelConfig config_;
  const ModelWeights weights_;
  Backend& backend_;
  Communicator& communicator_;
  const KvGeometry kv_;
  const ModelLimits limits_;
  RopeTables rope_;
  const std::optional<RopeTables> window_rope_;  // where layers with a window have another
  ActivationBuffers activations_;
};

}  // namespace slora
