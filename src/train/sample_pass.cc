#include "train/sample_pass.h"

#include <algorithm>

#include "base/check.h"

namespace slora {
namespace {

RopeTables::Size rope_size(const PassLimits& limits) { return {limits.rows, 0}; }

std::optional<RopeTables> make_window_rope(const PassModel& model, const PassLimits& limits) {
  if (!model.config.window_rope) return std::nullopt;
  return std::make_optional<RopeTables>(make_rope_frequencies(*model.config.window_rope, model.config.head_dim), rope_size(limits),
                                        model.backend);
}

}  // namespace

SamplePass::SamplePass(const PassModel& model, TrainedAdapter& adapter, const KvGeometry& kv, const PassLimits& limits)
    : model_(model),
      adapter_(adapter),
      rope_(make_rope_frequencies(model.config.rope, model.config.head_dim), rope_size(limits), model.backend),
      window_rope_(make_window_rope(model, limits)),
      memory_(pass_shape_of(model.config, model.weights.shape, adapter.masters()), kv, limits, model.backend) {
  check(model.backend.train_ops() != nullptr, "expected a backend that trains");
}

void SamplePass::begin(std::span<const Sample* const> samples, float label_weight, Kind kind) {
  check(phase_ == Phase::idle && !samples.empty() && std::cmp_less_equal(samples.size(), limits().samples),
        "expected samples, and those before to be done");
  batch_.build(samples, adapter_.view(), memory_.kv().page_tokens, label_weight);
  check(batch_.row_count() <= limits().rows, "expected a micro-batch within the limits");
  losses_.resize(batch_.labels().size());
  kind_ = kind;
  phase_ = Phase::forward;
  layer_ = 0;
  label_ = 0;
}

bool SamplePass::advance() {
  switch (phase_) {
    case Phase::idle:
      return false;
    case Phase::forward:
      forward(layer_++);
      if (layer_ < model_.config.layer_count) return true;
      end_layers();
      phase_ = Phase::head;
      return true;
    case Phase::head:
      compute_logits();
      if (label_ < batch_.labels().size()) return true;
      phase_ = kind_ == Kind::gradients ? Phase::backward : Phase::idle;
      if (kind_ == Kind::gradients) begin_backward();
      return kind_ == Kind::gradients;
    case Phase::backward:
      backward(--layer_);
      if (layer_ == memory_.shape().first_layer) phase_ = Phase::idle;
      return phase_ != Phase::idle;
  }
  return false;
}

LayerContext SamplePass::context() {
  RopeTable rope = rope_.view(), window_rope = window_rope_ ? window_rope_->view() : rope;
  rope.head_dim = window_rope.head_dim = model_.config.head_dim;
  return {model_.backend.ops(), communicator_, model_.config, model_.weights.shape,
          batch_.batch(),       rope,          window_rope,   model_.backend.train_ops()};
}

void SamplePass::copy(Tensor to, Tensor from) {
  if (to.data != from.data) model_.backend.ops().gather_rows(to, from, memory_.gradients(batch_.row_count()).rows);
}

void SamplePass::forward(std::int32_t layer) {
  const LayerContext context = this->context();
  const KeptLayer views = memory_.layer(layer, batch_.row_count());
  if (layer == 0) {
    embed_batch(context, model_.weights.embedding_table(), views.attention);
  } else {
    copy(views.attention.residual, memory_.layer(layer - 1, batch_.row_count()).mlp.residual);
  }
  compute_layer(context, layer, views);
}

void SamplePass::compute_layer(const LayerContext& context, std::int32_t layer, const KeptLayer& views) {
  const LayerWeights& weights = model_.weights.layers[static_cast<std::size_t>(layer)];
  forward_attention(context, weights, layer, memory_.kv(), views.attention);
  copy(views.mlp.residual, views.attention.residual);
  forward_mlp(context, weights, layer, views.mlp);
  if (!memory_.is_kept(layer)) shared_layer_ = layer;
}

// hidden = what the head reads
void SamplePass::end_layers() {
  const KeptLayer last = memory_.layer(layer_ - 1, batch_.row_count());
  const Tensor residual = memory_.residual(layer_, batch_.row_count());
  copy(residual, last.mlp.residual);
  model_.backend.ops().add_rms_norm(memory_.hidden(batch_.row_count()), residual, last.mlp.x, model_.weights.norm.view(),
                                    static_cast<float>(model_.config.rms_norm_eps), {}, kOutputNormSite);
}

// Of a block of labels: the losses, and the derivative by the hidden states of their rows.
void SamplePass::compute_logits() {
  const std::size_t count = std::min<std::size_t>(static_cast<std::size_t>(limits().head_rows), batch_.labels().size() - label_);
  const auto rows = static_cast<std::int64_t>(count);
  const Tensor hidden = memory_.head_in(rows), logits = memory_.logits(rows);
  const auto factor = static_cast<float>(1.0 / model_.config.logit_divisor);
  Ops& ops = model_.backend.ops();
  TrainOps& train_ops = *model_.backend.train_ops();
  ops.gather_rows(hidden, memory_.hidden(batch_.row_count()), batch_.label_rows().from(label_, count));
  ops.linear(logits, hidden, model_.weights.head, {}, {}, kHeadSite);
  if (factor != 1.0f) ops.rescale(logits, factor, 0.0f);
  train_ops.cross_entropy(std::span(losses_).subspan(label_, count), logits, batch_.labels().subspan(label_, count));
  if (kind_ == Kind::gradients) {
    if (factor != 1.0f) ops.rescale(logits, factor, 0.0f);
    train_ops.linear_backward(
        memory_.d_head_in(static_cast<std::int64_t>(label_ + count)).rows_from(static_cast<std::int64_t>(label_), rows), logits,
        model_.weights.head);
  }
  label_ += count;
}

// The derivative by the residual before the last norm.
void SamplePass::begin_backward() {
  const LayerGradients gradients = memory_.gradients(batch_.row_count());
  TrainOps& train_ops = *model_.backend.train_ops();
  train_ops.scatter_rows(gradients.in, memory_.d_head_in(static_cast<std::int64_t>(batch_.labels().size())), batch_.label_rows());
  train_ops.rms_norm_backward(gradients.residual, gradients.in, memory_.residual(layer_, batch_.row_count()), model_.weights.norm.view(),
                              static_cast<float>(model_.config.rms_norm_eps));
}

void SamplePass::backward(std::int32_t layer) {
  const LayerContext context = this->context();
  const KeptLayer views = memory_.layer(layer, batch_.row_count());
  if (!memory_.is_kept(layer) && shared_layer_ != layer) {
    context.ops.fill(views.attention.x, 0.0f);  // has been added
    compute_layer(context, layer, views);
  }
  TrainedLayer trained{.modules_at = [&](SiteKind kind) { return batch_.over_samples(adapter_.modules_at({layer, kind})); }};
  if (layer == memory_.shape().first_layer) trained.first_site = adapter_.first_site().kind;
  backward_layer(context, model_.weights.layers[static_cast<std::size_t>(layer)], layer, views, memory_.gradients(batch_.row_count()),
                 trained);
}

}  // namespace slora
