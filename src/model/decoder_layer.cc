#include "model/decoder_layer.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace slora {

namespace {

// Columns that the shrink results of a batch take at `site`; of one shard where the ranks are split. Equal on all shards.
std::int32_t z_cols_of(const AdapterBatch& adapters, Site site) {
  std::int32_t cols = 0;
  for (const AdapterSegment& segment : adapters.segments.host) {
    const std::int32_t own = segment.adapter->range_of(site).z_cols;
    if (own > 0) cols = std::max(cols, segment.z_begin + own);
  }
  return cols;
}

// The rows from the first that is in a segment to the last.
Tensor adapted_rows(Tensor z, const AdapterBatch& adapters) {
  std::int32_t begin = std::numeric_limits<std::int32_t>::max(), end = 0;
  for (const AdapterSegment& segment : adapters.segments.host) {
    begin = std::min(begin, segment.row_begin);
    end = std::max(end, segment.row_begin + segment.row_count);
  }
  return z.rows_from(begin, end - begin);
}

// z = A x. Shards that hold slices of x have partial sums of all ranks, which are added up; others have the sums of their own ranks, which
// are exchanged: z holds the columns of one shard after those of another. Returns the batch and z as the product is to read them.
struct Shrunk {
  AdapterBatch adapters;
  Tensor z;
};
Shrunk shrink(const LayerContext& context, const AdapterBatch& adapters, Site site, Tensor z, Tensor in) {
  Communicator& communicator = context.communicator;
  if (communicator.shard_count() == 1 || adapters.segments.empty()) {
    context.ops.shrink(z, in, adapters, site);  // nothing without adapters
    return {adapters, z};
  }
  const std::int32_t cols = z_cols_of(adapters, site);
  if (cols == 0) return {adapters, z};
  Shrunk out{adapters, z.cols_from(0, splits_input(site.kind) ? cols : cols * communicator.shard_count())};
  if (!splits_input(site.kind)) out.adapters.z_shard_cols = cols;
  context.ops.shrink(out.z, in, out.adapters, site);
  if (splits_input(site.kind)) {
    communicator.all_reduce(adapted_rows(out.z, adapters));
  } else {
    communicator.gather(adapted_rows(out.z, adapters));
  }
  return out;
}

// act.ff = activation(gate) * up of act.h
void project_gated(const LayerContext& context, const AdapterBatch& adapters, Site site, const Activations& act,
                   const LinearWeight& weight) {
  const Shrunk shrunk = shrink(context, adapters, site, act.z, act.h);
  const Tensor ff = act.ff.cols_from(0, weight.out / 2);
  if (act.gate_up.data == nullptr)
    return context.ops.linear_gated(ff, act.h, weight, shrunk.z, shrunk.adapters, site, context.config.activation);
  context.ops.linear(act.gate_up, act.h, weight, shrunk.z, shrunk.adapters, site);
  context.train_ops->gated(ff, act.gate_up, context.config.activation);
}

// act.x = what the experts of each row of act.h give
void mix_experts(const LayerContext& context, const LayerWeights& weights, std::int32_t layer, const Activations& act) {
  const AdapterBatch& adapters = context.batch.adapters;
  const MixtureConfig& mixture = context.config.mixture;
  project(context, adapters, {layer, SiteKind::router}, act.z, act.router, act.h, weights.router);
  context.ops.route(act.expert_rows, act.router, {mixture.experts_per_token, mixture.normalises_shares, mixture.shared_width > 0});
  const ExpertBatch experts{act.expert_rows, weights.mlps, act.expert_in, act.ff, act.expert_out, act.z};
  context.ops.mix_experts(act.x, act.h, experts, adapters, layer, context.config.activation);
}

}  // namespace

void project(const LayerContext& context, const AdapterBatch& adapters, Site site, Tensor z, Tensor out, Tensor in,
             const LinearWeight& weight) {
  const Shrunk shrunk = shrink(context, adapters, site, z, in);
  context.ops.linear(out, in, weight, shrunk.z, shrunk.adapters, site);  // one rounding: W x, expand, bias
}

void embed_batch(const LayerContext& context, const LinearWeight& table, const Activations& act) {
  Ops& ops = context.ops;
  const ForwardBatch& batch = context.batch;
  ops.embed(act.x, batch.tokens, batch.previous, table, static_cast<TokenId>(context.shape.vocabulary.begin));
  context.communicator.all_reduce(act.x);  // other shards gave zeros
  const bool is_changed = std::ranges::any_of(
      batch.adapters.segments.host, [](const AdapterSegment& segment) { return segment.adapter->range_of(kEmbeddingSite).count > 0; });
  if (is_changed) ops.adapt_embedding(act.x, batch.tokens, batch.previous, batch.adapters);
  if (context.config.embedding_scale != 1.0) ops.rescale(act.x, static_cast<float>(context.config.embedding_scale), 0.0f);
  ops.fill(act.residual, 0.0f);
}

void forward_layer(const LayerContext& context, const LayerWeights& weights, std::int32_t layer, const KvLayer& kv,
                   const Activations& act) {
  forward_attention(context, weights, layer, kv, act);
  forward_mlp(context, weights, layer, act);
}

void forward_attention(const LayerContext& context, const LayerWeights& weights, std::int32_t layer, const KvLayer& kv,
                       const Activations& act) {
  Ops& ops = context.ops;
  const ModelConfig& config = context.config;
  const ForwardBatch& batch = context.batch;
  const auto eps = static_cast<float>(config.rms_norm_eps);
  const std::int64_t q_width = context.shape.q_width(), kv_width = context.shape.kv_width();
  const std::int32_t window = config.window[static_cast<std::size_t>(layer)];
  const Tensor in = act.qkv.cols_from(0, q_width + kv_width), qk = act.qk.data != nullptr ? act.qk : in;
  const Tensor q = qk.cols_from(0, q_width);
  const Tensor k = qk.cols_from(q_width, kv_width);
  const Tensor v = act.qkv.cols_from(q_width + kv_width, kv_width);
  const Tensor branch = act.branch.data != nullptr ? act.branch : act.x;

  ops.add_rms_norm(act.h, act.residual, act.x, weights.attn_norm.view(), eps, batch.adapters, {layer, SiteKind::attention_norm});
  project(context, batch.adapters, {layer, SiteKind::qkv}, act.z, act.qkv, act.h, weights.qkv);
  if (!weights.q_norm.empty()) {
    ops.rms_norm(q, in.cols_from(0, q_width), weights.q_norm.view(), eps, batch.adapters, {layer, SiteKind::query_norm});
    ops.rms_norm(k, in.cols_from(q_width, kv_width), weights.k_norm.view(), eps, batch.adapters, {layer, SiteKind::key_norm});
  }
  if (config.has_rope(layer)) ops.rope(qk, batch.rope_rows, window > 0 ? context.window_rope : context.rope);
  ops.store_kv(kv, k, v, batch.spans);
  ops.attend(act.attn, q, kv, batch.spans, {config.score_scale(), window, static_cast<float>(config.score_cap)});
  project(context, batch.adapters, {layer, SiteKind::o}, act.z_out, branch, act.attn, weights.o);
  context.communicator.all_reduce(branch);
  if (!weights.attn_out_norm.empty())
    ops.rms_norm(act.x, branch, weights.attn_out_norm.view(), eps, batch.adapters, {layer, SiteKind::attention_out_norm});
  if (config.branch_scale != 1.0) ops.rescale(act.x, static_cast<float>(config.branch_scale), 0.0f);
}

void forward_mlp(const LayerContext& context, const LayerWeights& weights, std::int32_t layer, const Activations& act) {
  Ops& ops = context.ops;
  const ModelConfig& config = context.config;
  const AdapterBatch& adapters = context.batch.adapters;
  const auto eps = static_cast<float>(config.rms_norm_eps);
  const Tensor branch = act.branch.data != nullptr ? act.branch : act.x;

  ops.add_rms_norm(act.h, act.residual, act.x, weights.ffn_norm.view(), eps, adapters, {layer, SiteKind::mlp_norm});
  if (weights.router.out == 0) {
    project_gated(context, adapters, Site{layer, SiteKind::gate_up}, act, weights.mlps.front().gate_up);
    const LinearWeight& down = weights.mlps.front().down;
    project(context, adapters, {layer, SiteKind::down}, act.z_out, branch, act.ff.cols_from(0, down.in), down);
  } else {
    mix_experts(context, weights, layer, act);
  }
  context.communicator.all_reduce(branch);
  if (!weights.ffn_out_norm.empty())
    ops.rms_norm(act.x, branch, weights.ffn_out_norm.view(), eps, adapters, {layer, SiteKind::mlp_out_norm});
  if (config.branch_scale != 1.0) ops.rescale(act.x, static_cast<float>(config.branch_scale), 0.0f);
}

}  // namespace slora
