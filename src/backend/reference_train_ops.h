#pragma once
#include "backend/train_ops.h"

namespace slora {

// The derivatives of the reference backend's ops, with its weights. Owned by its backend.
class ReferenceTrainOps final : public TrainOps {
 public:
  void gated(Tensor out, Tensor gate_up, Activation activation) override;
  void gated_backward(Tensor d_gate_up, Tensor d_out, Tensor gate_up, Activation activation) override;
  void linear_backward(Tensor dx, Tensor dy, const LinearWeight& weight) override;
  void adapter_backward(Tensor dx, Tensor d_z, Tensor dy, Tensor x, Tensor z, std::span<const TrainedRows> modules) override;
  void rms_norm_backward(Tensor dx, Tensor dy, Tensor x, Tensor weight, float eps) override;
  void add_rms_norm_backward(Tensor d_residual, Tensor dy, Tensor residual, Tensor weight, float eps) override;
  void rope_backward(Tensor dx, StepArray<std::int32_t> positions, const RopeTable& table) override;
  void attend_backward(Tensor dq, Tensor dk, Tensor dv, const AttendedRows& rows, std::span<const SpanView> spans,
                       const AttendParams& params) override;
  void cross_entropy(std::span<LabelLoss> losses, Tensor logits, std::span<const LabelRow> labels) override;
  void scatter_rows(Tensor out, Tensor in, StepArray<std::int32_t> rows) override;
};

}  // namespace slora
