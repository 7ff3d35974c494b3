#pragma once
#include <cstdint>

#include "backend/ops.h"
#include "backend/train_ops.h"
#include "comm/communicator.h"
#include "formats/model_config.h"
#include "model/activations.h"
#include "model/forward_batch.h"
#include "model/weights.h"

namespace slora {

// What every layer of one forward pass shares.
struct LayerContext {
  Ops& ops;
  Communicator& communicator;
  const ModelConfig& config;
  const ShardShape& shape;
  const ForwardBatch& batch;
  RopeTable rope;
  RopeTable window_rope;          // of layers with a window
  TrainOps* train_ops = nullptr;  // computes what Activations::gate_up needs; null in serving
};

// act.x = the embedding of the batch's tokens, act.residual = 0: what the first layer reads.
void embed_batch(const LayerContext& context, const LinearWeight& table, const Activations& act);

// out = weight in + bias, with what `adapters` do at `site`; z is scratch for their shrink results. [T, ...] each. Of o and down this is
// the shard's addend.
void project(const LayerContext& context, const AdapterBatch& adapters, Site site, Tensor z, Tensor out, Tensor in,
             const LinearWeight& weight);

// One layer: adds attention and MLP of the batch to act.residual (the last addend stays in act.x). `kv` is this layer's part
// of the pool.
void forward_layer(const LayerContext& context, const LayerWeights& weights, std::int32_t layer, const KvLayer& kv, const Activations& act);
// Its two halves, one after the other; each adds act.x to act.residual first, and leaves its own addend in act.x.
void forward_attention(const LayerContext& context, const LayerWeights& weights, std::int32_t layer, const KvLayer& kv,
                       const Activations& act);
void forward_mlp(const LayerContext& context, const LayerWeights& weights, std::int32_t layer, const Activations& act);

}  // namespace slora
