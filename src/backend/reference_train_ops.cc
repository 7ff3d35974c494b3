#include "backend/reference_train_ops.h"

#include "backend/host_backend.h"
#include "backend/train_shapes.h"
#include "kernels/reference/adapter_backward.h"
#include "kernels/reference/attend_backward.h"
#include "kernels/reference/cross_entropy.h"
#include "kernels/reference/gated.h"
#include "kernels/reference/gated_backward.h"
#include "kernels/reference/linear_backward.h"
#include "kernels/reference/rms_norm_backward.h"
#include "kernels/reference/rope_backward.h"
#include "kernels/reference/scatter_rows.h"

namespace slora {

void ReferenceTrainOps::gated(Tensor out, Tensor gate_up, Activation activation) {
  check_gated(out, gate_up);
  reference::gated(out, gate_up, activation);
}

void ReferenceTrainOps::gated_backward(Tensor d_gate_up, Tensor d_out, Tensor gate_up, Activation activation) {
  check_gated_backward(d_gate_up, d_out, gate_up);
  reference::gated_backward(d_gate_up, d_out, gate_up, activation);
}

void ReferenceTrainOps::linear_backward(Tensor dx, Tensor dy, const LinearWeight& weight) {
  check_linear_backward(dx, dy, weight);
  reference::linear_backward(dx, dy, weight.packed.view(DType::f32, weight.out, weight.in));
}

void ReferenceTrainOps::adapter_backward(Tensor dx, Tensor d_z, Tensor dy, Tensor x, Tensor z, std::span<const TrainedRows> modules) {
  check_adapter_backward(dx, d_z, dy, x, z, modules);
  reference::adapter_backward(dx, d_z, dy, x, z, modules);
}

void ReferenceTrainOps::rms_norm_backward(Tensor dx, Tensor dy, Tensor x, Tensor weight, float eps) {
  check_rms_norm_backward(dx, dy, x, weight);
  reference::rms_norm_backward(dx, dy, x, numbers_of(weight), eps);
}

void ReferenceTrainOps::add_rms_norm_backward(Tensor d_residual, Tensor dy, Tensor residual, Tensor weight, float eps) {
  check_rms_norm_backward(d_residual, dy, residual, weight);
  reference::add_rms_norm_backward(d_residual, dy, residual, numbers_of(weight), eps);
}

void ReferenceTrainOps::rope_backward(Tensor dx, StepArray<std::int32_t> positions, const RopeTable& table) {
  check_rope_backward(dx, positions.size(), table);
  reference::rope_backward(dx, positions.on_device(), table);
}

void ReferenceTrainOps::attend_backward(Tensor dq, Tensor dk, Tensor dv, const AttendedRows& rows, std::span<const SpanView> spans,
                                        const AttendParams& params) {
  check_attend_backward(dq, dk, dv, rows, spans, params);
  reference::attend_backward(dq, dk, dv, rows, spans, params);
}

void ReferenceTrainOps::cross_entropy(std::span<LabelLoss> losses, Tensor logits, std::span<const LabelRow> labels) {
  check_cross_entropy(losses, logits, labels);
  reference::cross_entropy(losses, logits, labels);
}

void ReferenceTrainOps::scatter_rows(Tensor out, Tensor in, StepArray<std::int32_t> rows) {
  check_scatter_rows(out, in, rows.size());
  reference::scatter_rows(out, in, rows.on_device());
}

}  // namespace slora
