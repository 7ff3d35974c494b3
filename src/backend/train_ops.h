#pragma once
#include <cstdint>
#include <span>

#include "backend/op_args.h"
#include "backend/ops.h"
#include "ops/training.h"

namespace slora {

// What training computes beyond Ops: the derivatives of its ops. Named as those; d... is the derivative of the loss by what is named after
// it, of the same shape, fp32. T = rows of the micro-batch, which are whole samples: rows of a sample are consecutive, at positions 0, 1,
// ... A result has the same bits whatever else is in the micro-batch, and on how many threads: sums over rows are taken along the rows of
// one sample, in order, and then added to a gradient, a sample after the other. Called by one thread, which may be another one than that of
// Ops if no op runs meanwhile. Formulas: LoRA, arXiv 2106.09685, 4; attention's as FlashAttention-2, arXiv 2307.08691, 2.3.2.
class TrainOps {
 public:
  virtual ~TrainOps() = default;

  // out[t, i] = activation(gate_up[t, i]) * gate_up[t, n + i], as linear_gated computes of what linear gives. out [T, n] product, gate_up
  // [T, 2n] activation.
  virtual void gated(Tensor out, Tensor gate_up, Activation activation) = 0;

  // d_gate_up [T, 2n] of d_out [T, n]; gate_up [T, 2n] activation.
  virtual void gated_backward(Tensor d_gate_up, Tensor d_out, Tensor gate_up, Activation activation) = 0;

  // dx[t, :] = W^T dy[t, :]. dx [T, in], dy [T, out], W [out, in]. A backend may round dy to its product type.
  virtual void linear_backward(Tensor dx, Tensor dy, const LinearWeight& weight) = 0;

  // For every entry of `modules`, which are in the order of rows, and rows of one sample may be under several modules: with
  // dz = scale * B^T dy[slice], in d_z's columns of the module: B's gradient += scale * dy[slice]^T z, A's += dz^T x, dx += A^T dz.
  // dx [T, in], or without rows where nobody needs it; dy [T, out], x [T, in] product, z [T, z columns] fp32 as shrink left it, d_z like z.
  virtual void adapter_backward(Tensor dx, Tensor d_z, Tensor dy, Tensor x, Tensor z, std::span<const TrainedRows> modules) = 0;

  // dx of y = rms_norm(x) with this gain; dx may be dy. x [T, groups * weight.cols] activation or fp32, weight [1, columns of a group]
  // fp32.
  virtual void rms_norm_backward(Tensor dx, Tensor dy, Tensor x, Tensor weight, float eps) = 0;

  // d_residual += the same of y = rms_norm(residual) with this gain: what add_rms_norm gives its residual besides what comes from later
  // layers.
  virtual void add_rms_norm_backward(Tensor d_residual, Tensor dy, Tensor residual, Tensor weight, float eps) = 0;

  // dx [T, heads * table.head_stride()], in place: the transposed rotation.
  virtual void rope_backward(Tensor dx, StepArray<std::int32_t> positions, const RopeTable& table) = 0;

  // dq, dk, dv, whatever was there, of causal attention over samples. spans: the rows of each sample, which together are all rows; their
  // pages are not looked at, and their positions begin at 0. Refuses params.soft_cap by check.
  virtual void attend_backward(Tensor dq, Tensor dk, Tensor dv, const AttendedRows& rows, std::span<const SpanView> spans,
                               const AttendParams& params) = 0;

  // losses[r] of row r of logits [rows, vocab] fp32, and in place of the logits weight * (softmax(logits) - 1 at the token). The bits of a
  // loss are those of Ops::score() for the same logits; where one of these is NaN or +infinity, the loss is NaN.
  virtual void cross_entropy(std::span<LabelLoss> losses, Tensor logits, std::span<const LabelRow> labels) = 0;

  // out[rows[i], :] = in[i, :], fp32, and zeros in the other rows of out.
  virtual void scatter_rows(Tensor out, Tensor in, StepArray<std::int32_t> rows) = 0;
};

}  // namespace slora
