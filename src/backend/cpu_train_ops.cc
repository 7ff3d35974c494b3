#include "backend/cpu_train_ops.h"

#include "backend/host_backend.h"
#include "backend/train_shapes.h"
#include "kernels/cpu/gated_backward.h"
#include "kernels/cpu/rms_norm_backward.h"
#include "kernels/cpu/rope_backward.h"
#include "kernels/cpu/scatter_rows.h"

namespace slora {

void CpuTrainOps::gated(Tensor out, Tensor gate_up, Activation activation) {
  check_gated(out, gate_up);
  cpu::gated(kernels_, pool_, out, gate_up, activation);
}

void CpuTrainOps::gated_backward(Tensor d_gate_up, Tensor d_out, Tensor gate_up, Activation activation) {
  check_gated_backward(d_gate_up, d_out, gate_up);
  cpu::gated_backward(kernels_, pool_, d_gate_up, d_out, gate_up, activation);
}

void CpuTrainOps::linear_backward(Tensor dx, Tensor dy, const LinearWeight& weight) {
  check_linear_backward(dx, dy, weight);
  check(weight.storage == WeightStorage::bf16, "expected a weight in bf16");
  linear_.run(dx, dy, cpu::PackedWeight{reinterpret_cast<std::uint32_t*>(weight.packed.data()), weight.out, weight.in});
}

void CpuTrainOps::adapter_backward(Tensor dx, Tensor d_z, Tensor dy, Tensor x, Tensor z, std::span<const TrainedRows> modules) {
  check_adapter_backward(dx, d_z, dy, x, z, modules);
  adapter_.run(dx, d_z, dy, x, z, modules);
}

void CpuTrainOps::rms_norm_backward(Tensor dx, Tensor dy, Tensor x, Tensor weight, float eps) {
  check_rms_norm_backward(dx, dy, x, weight);
  cpu::rms_norm_backward(kernels_, pool_, dx, dy, x, numbers_of(weight), eps);
}

void CpuTrainOps::add_rms_norm_backward(Tensor d_residual, Tensor dy, Tensor residual, Tensor weight, float eps) {
  check_rms_norm_backward(d_residual, dy, residual, weight);
  cpu::add_rms_norm_backward(kernels_, pool_, d_residual, dy, residual, numbers_of(weight), eps);
}

void CpuTrainOps::rope_backward(Tensor dx, StepArray<std::int32_t> positions, const RopeTable& table) {
  check_rope_backward(dx, positions.size(), table);
  cpu::rope_backward(kernels_, pool_, dx, positions.on_device(), table);
}

void CpuTrainOps::attend_backward(Tensor dq, Tensor dk, Tensor dv, const AttendedRows& rows, std::span<const SpanView> spans,
                                  const AttendParams& params) {
  check_attend_backward(dq, dk, dv, rows, spans, params);
  attend_.run(dq, dk, dv, rows, spans, params);
}

void CpuTrainOps::cross_entropy(std::span<LabelLoss> losses, Tensor logits, std::span<const LabelRow> labels) {
  check_cross_entropy(losses, logits, labels);
  entropy_.run(losses, logits, labels);
}

void CpuTrainOps::scatter_rows(Tensor out, Tensor in, StepArray<std::int32_t> rows) {
  check_scatter_rows(out, in, rows.size());
  cpu::scatter_rows(pool_, out, in, rows.on_device());
}

}  // namespace slora
