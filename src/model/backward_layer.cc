#include "model/backward_layer.h"

#include "base/check.h"

namespace slora {
namespace {

// One call of backward_layer().
class LayerBackward {
 public:
  LayerBackward(const LayerContext& context, const LayerWeights& weights, std::int32_t layer, const KeptLayer& kept,
                const LayerGradients& gradients, const TrainedLayer& trained)
      : context_(context), weights_(weights), layer_(layer), kept_(kept), d_(gradients), trained_(trained) {}

  void run() {
    if (run_mlp()) run_attention();
  }

 private:
  // Whether anything below is wanted.
  [[nodiscard]] bool run_mlp() {
    const Activations& act = kept_.mlp;
    const Tensor dy = derivative_of_branch(act.branch, weights_.ffn_out_norm);
    const MlpWeights& mlp = weights_.mlps.front();
    context_.train_ops->gated(d_.ff_values, act.gate_up, context_.config.activation);
    if (!project_back(d_.ff, dy, d_.ff_values, act.z_out, mlp.down, SiteKind::down)) return false;
    context_.train_ops->gated_backward(d_.gate_up, d_.ff, act.gate_up, context_.config.activation);
    compute_h(act.residual, weights_.ffn_norm);
    if (!project_back(d_.in, d_.gate_up, d_.h, act.z, mlp.gate_up, SiteKind::gate_up)) return false;
    add_to_residual(act.residual, weights_.ffn_norm);
    return true;
  }

  void run_attention() {
    const Activations& act = kept_.attention;
    const ModelConfig& config = context_.config;
    const std::int64_t q_width = context_.shape.q_width(), kv_width = context_.shape.kv_width();
    const std::int32_t window = config.window[static_cast<std::size_t>(layer_)];
    const Tensor in = act.qkv.cols_from(0, q_width + kv_width), qk = act.qk.data != nullptr ? act.qk : in;
    const Tensor dy = derivative_of_branch(act.branch, weights_.attn_out_norm);
    if (!project_back(d_.attn, dy, act.attn, act.z_out, weights_.o, SiteKind::o)) return;

    const Tensor dqk = d_.qkv.cols_from(0, q_width + kv_width);
    const Tensor dq = dqk.cols_from(0, q_width), dk = dqk.cols_from(q_width, kv_width);
    const AttendedRows rows{.q = qk.cols_from(0, q_width),
                            .k = qk.cols_from(q_width, kv_width),
                            .v = act.qkv.cols_from(q_width + kv_width, kv_width),
                            .out = act.attn,
                            .d_out = d_.attn,
                            .head_dim = context_.shape.head_dim};
    context_.train_ops->attend_backward(dq, dk, d_.qkv.cols_from(q_width + kv_width, kv_width), rows, context_.batch.spans.spans.host,
                                        {config.score_scale(), window});
    if (config.has_rope(layer_))
      context_.train_ops->rope_backward(dqk, context_.batch.rope_rows, window > 0 ? context_.window_rope : context_.rope);
    if (!weights_.q_norm.empty()) {
      norm_backward(dq, dq, in.cols_from(0, q_width), weights_.q_norm);
      norm_backward(dk, dk, in.cols_from(q_width, kv_width), weights_.k_norm);
    }
    compute_h(act.residual, weights_.attn_norm);
    if (project_back(d_.in, d_.qkv, d_.h, act.z, weights_.qkv, SiteKind::qkv)) add_to_residual(act.residual, weights_.attn_norm);
  }

  // Of what a branch's last product gave.
  Tensor derivative_of_branch(Tensor values, const DeviceVector& norm) {
    const auto scale = static_cast<float>(context_.config.branch_scale);
    if (norm.empty() && scale == 1.0f) return d_.residual;
    if (norm.empty()) {
      context_.ops.gather_rows(d_.branch, d_.residual, d_.rows);
    } else {
      norm_backward(d_.branch, d_.residual, values, norm);
    }
    if (scale != 1.0f) context_.ops.rescale(d_.branch, scale, 0.0f);
    return d_.branch;
  }

  // dx of y = W x and what the adapter adds, whose gradients are added to. Returns whether anything below is wanted, else dx is not
  // computed.
  bool project_back(Tensor dx, Tensor dy, Tensor x, Tensor z, const LinearWeight& weight, SiteKind kind) {
    const bool is_last = trained_.first_site == kind;
    if (!is_last) context_.train_ops->linear_backward(dx, dy, weight);
    const std::span<const TrainedRows> modules = trained_.modules_at(kind);
    if (!modules.empty())
      context_.train_ops->adapter_backward(is_last ? dx.rows_from(0, 0) : dx, d_.z.cols_from(0, z.cols), dy, x, z, modules);
    return !is_last;
  }

  // h = what the forward pass's norm gave. The bits are those of add_rms_norm().
  void compute_h(Tensor residual, const DeviceVector& norm) {
    if (norm.empty()) {
      context_.ops.add_rms_norm(d_.h, residual, d_.zeros, norm.view(), eps(), {}, {layer_, SiteKind::mlp_norm});
    } else {
      context_.ops.rms_norm(d_.h, residual, norm.view(), eps(), {}, {layer_, SiteKind::mlp_norm});
    }
  }

  // The residual goes into the norm of a branch, and on.
  void add_to_residual(Tensor residual, const DeviceVector& norm) {
    if (!norm.empty()) return context_.train_ops->add_rms_norm_backward(d_.residual, d_.in, residual, norm.view(), eps());
    context_.ops.add_rms_norm(d_.h, d_.residual, d_.in, norm.view(), eps(), {}, {layer_, SiteKind::mlp_norm});
  }

  void norm_backward(Tensor dx, Tensor dy, Tensor x, const DeviceVector& norm) {
    context_.train_ops->rms_norm_backward(dx, dy, x, norm.view(), eps());
  }

  [[nodiscard]] float eps() const { return static_cast<float>(context_.config.rms_norm_eps); }

  const LayerContext& context_;
  const LayerWeights& weights_;
  const std::int32_t layer_;
  const KeptLayer& kept_;
  const LayerGradients& d_;
  const TrainedLayer& trained_;
};

}  // namespace

void backward_layer(const LayerContext& context, const LayerWeights& weights, std::int32_t layer, const KeptLayer& kept,
                    const LayerGradients& gradients, const TrainedLayer& trained) {
  check(context.train_ops != nullptr && weights.router.out == 0, "expected a backend that trains, and a layer without experts");
  LayerBackward(context, weights, layer, kept, gradients, trained).run();
}

}  // namespace slora
