#include "model/model.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace slora {
namespace {

ActivationBuffers::Limits activation_limits(const ModelLimits& limits) {
  return {limits.step_tokens_max, limits.z_cols_max, limits.output_rows_max};
}

RopeTables::Size rope_size(const ModelLimits& limits) { return {limits.position_count, limits.extended_position_count}; }

std::optional<RopeTables> make_window_rope(const ModelConfig& config, const ModelLimits& limits, Backend& backend) {
  if (!config.window_rope) return std::nullopt;
  return std::make_optional<RopeTables>(make_rope_frequencies(*config.window_rope, config.head_dim),
                                        RopeTables::Size{limits.position_count, 0}, backend);
}

}  // namespace

Model::Model(ModelConfig config, ModelWeights weights, Backend& backend, Communicator& communicator, const KvGeometry& kv,
             const ModelLimits& limits)
    : config_(std::move(config)),
      weights_(std::move(weights)),
      backend_(backend),
      communicator_(communicator),
      kv_(kv),
      limits_(limits),
      rope_(make_rope_frequencies(config_.rope, config_.head_dim), rope_size(limits), backend),
      window_rope_(make_window_rope(config_, limits, backend)),
      activations_(config_, weights_.shape, backend, activation_limits(limits)) {
  check(weights_.shape.shard_index == communicator.shard_index() && weights_.shape.shard_count == communicator.shard_count(),
        "expected the weights of the communicator's shard");
}

std::size_t Model::scratch_bytes(const ModelConfig& config, const ShardShape& shape, const Backend& backend, const ModelLimits& limits) {
  return ActivationBuffers::bytes_for(config, shape, backend, activation_limits(limits)) +
         RopeTables::bytes_for(config.rope.rotary_dim(config.head_dim), rope_size(limits), backend) +
         (config.window_rope ? RopeTables::bytes_for(config.head_dim, {limits.position_count, 0}, backend) : 0);
}

void Model::fill_rope_part(std::int32_t part, double factor) {
  RopeConfig rope = config_.rope;
  rope.kind = RopeKind::linear;
  rope.factor = factor;
  const auto longest = static_cast<std::int64_t>(factor * static_cast<double>(config_.max_position_embeddings));
  rope_.fill_part(part, std::min(longest, limits_.extended_position_count), make_rope_frequencies(rope, config_.head_dim));
}

LayerContext Model::context_of(const ForwardBatch& batch) {
  RopeTable rope = rope_.view(), window_rope = window_rope_ ? window_rope_->view() : rope;
  rope.head_dim = window_rope.head_dim = config_.head_dim;
  return {backend_.ops(), communicator_, config_, weights_.shape, batch, rope, window_rope};
}

void Model::forward(const ForwardBatch& batch, std::byte* pool, const std::function<void()>& after_layer) {
  const auto rows = static_cast<std::int64_t>(batch.tokens.size());
  check(rows > 0 && rows <= limits_.step_tokens_max, "expected a batch of at least one token and at most step_tokens_max");
  check(batch.adapters.z_cols <= limits_.z_cols_max, "expected at most z_cols_max columns of shrink results");

  const Activations act = activations_.views(rows, batch.adapters.z_cols);
  const LayerContext context = context_of(batch);

  const auto is_possible = [&](TokenId token) {
    return token < config_.vocab_size + kAddedTokensMax && (token >= 0 || batch.previous != nullptr);
  };
  check(std::ranges::all_of(batch.tokens.host, is_possible), "expected tokens of the vocabulary");
  embed_batch(context, weights_.embedding_table(), act);
  for (std::int32_t layer = 0; layer < config_.layer_count; ++layer) {
    forward_layer(context, weights_.layers[static_cast<std::size_t>(layer)], layer, kv_.layer(layer, pool), act);
    if (after_layer) after_layer();
  }
  backend_.ops().add_rms_norm(act.h, act.residual, act.x, weights_.norm.view(), static_cast<float>(config_.rms_norm_eps), batch.adapters,
                              kOutputNormSite);
}

Tensor Model::logits(const ForwardBatch& batch, const OutputBlock& block) {
  const auto rows = static_cast<std::int64_t>(block.rows.size());
  check(rows > 0 && rows <= limits_.output_rows_max, "expected at least one row of logits and at most output_rows_max");
  check(std::cmp_less_equal(rows, batch.tokens.size()), "expected output rows among the batch's rows");
  check(block.adapters.z_cols <= limits_.z_cols_max, "expected at most z_cols_max columns of shrink results");

  const Activations act = activations_.views(static_cast<std::int64_t>(batch.tokens.size()), block.adapters.z_cols);
  const Tensor hidden = activations_.output_hidden(rows), logits = activations_.logits(rows);
  const ShardShape& shape = weights_.shape;
  backend_.ops().gather_rows(hidden, act.h, block.rows);
  const Tensor own = logits.cols_from(0, shape.vocabulary.count);
  project(context_of(batch), block.adapters, kHeadSite, act.z.rows_from(0, rows), own, hidden, weights_.head);
  if (shape.shard_index != 0) {
    communicator_.gather_to_first(logits);
    return own;
  }
  communicator_.gather_to_first(logits.cols_from(0, shape.shard_count * shape.vocabulary_stride()));  // only shard 0 samples
  const std::int64_t vocabulary = config_.vocab_size, added = block.added_tokens;
  if (added > 0) backend_.ops().added_logits(logits.cols_from(vocabulary, added), hidden, block.adapters);
  const Tensor all = logits.cols_from(0, vocabulary + added);
  if (config_.logit_cap > 0 || config_.logit_divisor != 1.0)
    backend_.ops().rescale(all, static_cast<float>(1.0 / config_.logit_divisor), static_cast<float>(config_.logit_cap));
  return all;
}

}  // namespace slora
