#include "model/decoder_layer.h"

#include <cmath>

namespace slora {

namespace {

void shrink(const LayerContext& context, const AdapterBatch& adapters, Site site, Tensor z, Tensor in) {
  context.ops.shrink(z, in, adapters, site);  // nothing without adapters
  if (!adapters.segments.empty()) context.communicator.gather(z);
}

// act.ff = activation(gate) * up of act.h
void project_gated(const LayerContext& context, const AdapterBatch& adapters, Site site, const Activations& act,
                   const LinearWeight& weight) {
  shrink(context, adapters, site, act.z, act.h);
  context.ops.linear_gated(act.ff, act.h, weight, act.z, adapters, site, context.config.activation);
}

}  // namespace

void project(const LayerContext& context, const AdapterBatch& adapters, Site site, Tensor z, Tensor out, Tensor in,
             const LinearWeight& weight) {
  shrink(context, adapters, site, z, in);
  context.ops.linear(out, in, weight, z, adapters, site);  // one rounding: W x, expand, bias
}

void forward_layer(const LayerContext& context, const LayerWeights& weights, std::int32_t layer, const KvLayer& kv,
                   const Activations& act) {
  Ops& ops = context.ops;
  const ModelConfig& config = context.config;
  const ForwardBatch& batch = context.batch;
  const auto eps = static_cast<float>(config.rms_norm_eps);
  const auto project_at = [&](Tensor out, Tensor in, const LinearWeight& weight, SiteKind kind) {
    project(context, batch.adapters, Site{layer, kind}, act.z, out, in, weight);
  };
  const std::int64_t q_width = context.shape.q_width(), kv_width = context.shape.kv_width();
  const Tensor q = act.qkv.cols_from(0, q_width);
  const Tensor k = act.qkv.cols_from(q_width, kv_width);
  const Tensor v = act.qkv.cols_from(q_width + kv_width, kv_width);

  ops.add_rms_norm(act.h, act.residual, act.x, weights.attn_norm, eps);
  project_at(act.qkv, act.h, weights.qkv, SiteKind::qkv);
  if (config.qk_norm) {
    ops.rms_norm(q, q, weights.q_norm, eps);
    ops.rms_norm(k, k, weights.k_norm, eps);
  }
  ops.rope(act.qkv.cols_from(0, q_width + kv_width), batch.positions, context.rope);
  ops.store_kv(kv, k, v, batch.spans);
  const float scale = 1.0f / std::sqrt(static_cast<float>(config.head_dim));
  ops.attend(act.attn, q, kv, batch.spans, {scale, config.window[static_cast<std::size_t>(layer)]});
  project_at(act.x, act.attn, weights.o, SiteKind::o);
  context.communicator.all_reduce(act.x);

  ops.add_rms_norm(act.h, act.residual, act.x, weights.ffn_norm, eps);
  project_gated(context, batch.adapters, Site{layer, SiteKind::gate_up}, act, weights.gate_up);
  project_at(act.x, act.ff, weights.down, SiteKind::down);
  context.communicator.all_reduce(act.x);
}

}  // namespace slora
