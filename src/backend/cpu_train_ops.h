#pragma once
#include "backend/train_ops.h"
#include "kernels/cpu/adapter_backward.h"
#include "kernels/cpu/attend_backward.h"
#include "kernels/cpu/cross_entropy.h"
#include "kernels/cpu/linear_backward.h"

namespace slora {

// The derivatives of the cpu backend's ops. Holds scratch and borrows the threads; owned by its backend.
class CpuTrainOps final : public TrainOps {
 public:
  CpuTrainOps(const cpu::Kernels& kernels, cpu::ThreadPool& pool)
      : kernels_(kernels), pool_(pool), linear_(kernels, pool), adapter_(kernels, pool), attend_(kernels, pool), entropy_(kernels, pool) {}

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

 private:
  const cpu::Kernels& kernels_;
  cpu::ThreadPool& pool_;
  cpu::LinearBackward linear_;
  cpu::AdapterBackward adapter_;
  cpu::AttendBackward attend_;
  cpu::CrossEntropy entropy_;
};

}  // namespace slora
