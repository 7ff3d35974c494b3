#pragma once
#include <cstdint>
#include <span>

#include "backend/op_args.h"
#include "backend/ops.h"

namespace slora {

// A low-rank delta that is being trained, of one module of a site: y[slice] += scale * B (A x). The numbers of A and B are those that the
// forward pass computed with: rounded as the backend keeps adapters, in fp32 here.
struct TrainedModule {
  std::int64_t slice_begin = 0;  // first output column of the module within its site
  std::int64_t z_begin = 0;      // its first column of z
  float scale = 1;
  Tensor a;           // [rank, in] fp32
  Tensor b;           // [out of the slice, rank] fp32
  Tensor a_gradient;  // [rank, in] fp32, added to
  Tensor b_gradient;  // [out of the slice, rank] fp32, added to
};

// A module over the rows of one sample.
struct TrainedRows {
  std::int32_t row_begin = 0;
  std::int32_t row_count = 0;
  const TrainedModule* module = nullptr;
};

// A row of logits whose token is learned.
struct LabelRow {
  TokenId token = 0;  // what should be drawn from the row
  float weight = 1;   // of its loss in the gradient: 1 / labels of the whole training step
};
struct LabelLoss {
  float loss = 0;               // -log softmax(logits)[token], without the weight
  bool is_most_likely = false;  // whether the token is that of the largest logit, the first of equal ones
};

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

  // dx of y = rms_norm(x) with this gain; dx += it where `adds`, else dx may be dy. x [T, groups * weight.cols] activation or fp32, weight
  // [1, columns of a group] fp32.
  virtual void rms_norm_backward(Tensor dx, Tensor dy, Tensor x, Tensor weight, float eps, bool adds) = 0;

  // dx [T, heads * table.head_stride()], in place: the transposed rotation.
  virtual void rope_backward(Tensor dx, StepArray<std::int32_t> positions, const RopeTable& table) = 0;

  // dq, dk, dv of causal attention over samples, in place of whatever was there. spans: the rows of each sample (their pages are not
  // looked at, their positions begin at 0). q, k, v, activation, are those of the batch's rows, as store_kv and attend took them; out
  // [T, heads * head_dim] product is what attend gave, d_out its derivative. kv heads = k.cols / head_dim. Refuses params.soft_cap by
  // check.
  struct AttendInputs {
    Tensor q, k, v, out, d_out;
    std::int64_t head_dim = 0;
  };
  virtual void attend_backward(Tensor dq, Tensor dk, Tensor dv, const AttendInputs& in, std::span<const SpanView> spans,
                               const AttendParams& params) = 0;

  // losses[r] of row r of logits [rows, vocab] fp32, and in place of the logits weight * (softmax(logits) - 1 at the token). The bits of a
  // loss are those of Ops::score() for the same logits.
  virtual void cross_entropy(std::span<LabelLoss> losses, Tensor logits, std::span<const LabelRow> labels) = 0;

  // out[rows[i], :] = in[i, :], and zeros in the other rows of out.
  virtual void scatter_rows(Tensor out, Tensor in, StepArray<std::int32_t> rows) = 0;
};

}  // namespace slora
