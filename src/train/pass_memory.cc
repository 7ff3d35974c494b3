#include "train/pass_memory.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "train/tensor_plan.h"

namespace slora {
namespace {

Tensor first_rows(Tensor tensor, std::int64_t rows) { return tensor.data == nullptr ? Tensor{} : tensor.rows_from(0, rows); }

// Whether the layers have a norm of such a role.
bool has_norm(const ModelConfig& config, TensorRole role) {
  return std::ranges::any_of(traits_of(config.family).tensors->layer, [&](const LayerModule& module) {
    return module.role == role && (module.is_present == nullptr || config.*module.is_present);
  });
}

// Without numbers it has rows all the same.
Tensor z_rows(Tensor z, std::int64_t rows) {
  z.rows = rows;
  return z;
}

}  // namespace

PassShape pass_shape_of(const ModelConfig& config, const ShardShape& shape, const AdapterMasters& masters) {
  PassShape out{.hidden = config.hidden_size,
                .q = shape.q_width(),
                .kv = shape.kv_width(),
                .intermediate = shape.mlp.count,
                .vocabulary = config.vocab_size,
                .has_qk_norm = has_norm(config, TensorRole::query_norm),
                .has_branch_norm = has_norm(config, TensorRole::attention_out_norm),
                .layer_count = config.layer_count,
                .first_layer = masters.modules.front().site.layer};
  std::vector<std::int64_t> cols(site_count(config.layer_count));
  for (const MasterModule& module : masters.modules) cols[index_of(module.site)] += module.rank;
  for (std::int32_t layer = 0; layer < config.layer_count; ++layer) {
    const auto widen = [&](std::int64_t& most, SiteKind kind) { most = std::max(most, cols[index_of({layer, kind})]); };
    widen(out.z_qkv, SiteKind::qkv);
    widen(out.z_o, SiteKind::o);
    widen(out.z_gate_up, SiteKind::gate_up);
    widen(out.z_down, SiteKind::down);
  }
  return out;
}

PassMemory::PassMemory(const PassShape& shape, const KvGeometry& kv, const PassLimits& limits) : shape_(shape), kv_(kv), limits_(limits) {
  check(kv.layer_count == 1 && limits.kept_layers <= shape.trained_layers(),
        "expected pages of one layer, and kept layers that are trained");
}

PassMemory::PassMemory(const PassShape& shape, const KvGeometry& kv, const PassLimits& limits, Backend& backend)
    : PassMemory(shape, kv, limits) {
  TensorPlan sizes;
  plan(sizes, backend);
  memory_ = backend.allocate(sizes.bytes());
  pages_ = backend.allocate(pages_bytes());
  sizes.place(memory_.data());
  rows_.resize(static_cast<std::size_t>(limits.rows));
  std::iota(rows_.begin(), rows_.end(), 0);
}

std::size_t PassMemory::bytes_for(const PassShape& shape, const KvGeometry& kv, const PassLimits& limits, const Backend& backend) {
  PassMemory sizes_only(shape, kv, limits);
  TensorPlan sizes;
  sizes_only.plan(sizes, backend);
  return sizes.bytes() + sizes_only.pages_bytes();
}

// Every sample has pages of its own, of which the last may not be full.
std::size_t PassMemory::pages_bytes() const {
  return static_cast<std::size_t>(limits_.rows / kv_.page_tokens + limits_.samples) * kv_.page_bytes();
}

void PassMemory::plan(TensorPlan& plan, const Backend& backend) {
  const std::int64_t rows = limits_.rows, hidden = shape_.hidden;
  values_.resize(1 + static_cast<std::size_t>(limits_.kept_layers));
  for (Values& values : values_) plan_values(plan, values, backend);
  residuals_.resize(2 + static_cast<std::size_t>(shape_.trained_layers()));
  for (Tensor& residual : residuals_) plan.add(residual, DType::f32, rows, hidden);
  plan.add(scratch_.x, backend.activation_dtype(), rows, hidden);
  plan.add(scratch_.h, backend.product_dtype(), rows, hidden);
  plan.add(scratch_.ff, backend.product_dtype(), rows, shape_.intermediate);
  plan.add(scratch_.zeros, backend.activation_dtype(), rows, hidden);
  plan.add(head_in_, backend.product_dtype(), limits_.head_rows, hidden);
  plan.add(logits_, DType::f32, limits_.head_rows, shape_.vocabulary);
  plan.add(d_head_in_, DType::f32, rows, hidden);
  plan_gradients(plan, backend);
}

void PassMemory::plan_values(TensorPlan& plan, Values& values, const Backend& backend) const {
  const DType activation = backend.activation_dtype();
  const std::int64_t rows = limits_.rows;
  plan.add(values.mlp_residual, DType::f32, rows, shape_.hidden);
  plan.add(values.qkv, activation, rows, shape_.q + 2 * shape_.kv);
  plan.add(values.qk, activation, shape_.has_qk_norm ? rows : 0, shape_.q + shape_.kv);
  plan.add(values.attn, backend.product_dtype(), rows, shape_.q);
  plan.add(values.gate_up, activation, rows, 2 * shape_.intermediate);
  plan.add(values.attention_branch, activation, shape_.has_branch_norm ? rows : 0, shape_.hidden);
  plan.add(values.mlp_branch, activation, shape_.has_branch_norm ? rows : 0, shape_.hidden);
  plan.add(values.z_qkv, DType::f32, rows, shape_.z_qkv);
  plan.add(values.z_o, DType::f32, rows, shape_.z_o);
  plan.add(values.z_gate_up, DType::f32, rows, shape_.z_gate_up);
  plan.add(values.z_down, DType::f32, rows, shape_.z_down);
}

void PassMemory::plan_gradients(TensorPlan& plan, const Backend& backend) {
  const std::int64_t rows = limits_.rows, hidden = shape_.hidden;
  const std::int64_t z_cols = std::max({shape_.z_qkv, shape_.z_o, shape_.z_gate_up, shape_.z_down});
  plan.add(d_.residual, DType::f32, rows, hidden);
  plan.add(d_.branch, DType::f32, rows, hidden);
  plan.add(d_.in, DType::f32, rows, hidden);
  plan.add(d_.qkv, DType::f32, rows, shape_.q + 2 * shape_.kv);
  plan.add(d_.attn, DType::f32, rows, shape_.q);
  plan.add(d_.gate_up, DType::f32, rows, 2 * shape_.intermediate);
  plan.add(d_.ff, DType::f32, rows, shape_.intermediate);
  plan.add(d_.z, DType::f32, rows, z_cols);
  plan.add(d_.h, backend.product_dtype(), rows, hidden);
  plan.add(d_.ff_values, backend.product_dtype(), rows, shape_.intermediate);
}

KeptLayer PassMemory::layer(std::int32_t layer, std::int64_t rows) const {
  const Values& own = values_[is_kept(layer) ? static_cast<std::size_t>(1 + layer - (shape_.layer_count - limits_.kept_layers)) : 0];
  Activations act;
  act.x = first_rows(scratch_.x, rows);
  act.h = first_rows(scratch_.h, rows);
  act.ff = first_rows(scratch_.ff, rows);
  act.qkv = first_rows(own.qkv, rows);
  act.qk = first_rows(own.qk, rows);
  act.attn = first_rows(own.attn, rows);
  act.gate_up = first_rows(own.gate_up, rows);
  KeptLayer kept{act, act};
  kept.attention.residual = residual(layer, rows);
  kept.attention.z = z_rows(own.z_qkv, rows);
  kept.attention.z_out = z_rows(own.z_o, rows);
  kept.attention.branch = first_rows(own.attention_branch, rows);
  kept.mlp.residual = first_rows(own.mlp_residual, rows);
  kept.mlp.z = z_rows(own.z_gate_up, rows);
  kept.mlp.z_out = z_rows(own.z_down, rows);
  kept.mlp.branch = first_rows(own.mlp_branch, rows);
  return kept;
}

Tensor PassMemory::residual(std::int32_t layer, std::int64_t rows) const {
  return residuals_[static_cast<std::size_t>(std::max(0, 1 + layer - shape_.first_layer))].rows_from(0, rows);
}

LayerGradients PassMemory::gradients(std::int64_t rows) const {
  LayerGradients out = d_;
  for (Tensor* tensor : {&out.residual, &out.branch, &out.in, &out.qkv, &out.attn, &out.gate_up, &out.ff, &out.h, &out.ff_values})
    *tensor = tensor->rows_from(0, rows);
  out.z = z_rows(out.z, rows);
  out.zeros = scratch_.zeros.rows_from(0, rows);
  out.rows = std::span(rows_).first(static_cast<std::size_t>(rows));
  return out;
}

}  // namespace slora
