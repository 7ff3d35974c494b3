#include "backend/train_shapes.h"

#include <algorithm>
#include <utility>

namespace slora {
namespace {

bool same_shape(Tensor a, Tensor b) { return a.rows == b.rows && a.cols == b.cols; }

template <class... Tensors>
bool are_fp32(Tensors... tensors) {
  return ((tensors.dtype == DType::f32) && ...);
}

}  // namespace

void check_gated(Tensor out, Tensor gate_up) {
  check(out.rows == gate_up.rows && 2 * out.cols == gate_up.cols, "expected out [T, n] of gate_up [T, 2n]");
}

void check_gated_backward(Tensor d_gate_up, Tensor d_out, Tensor gate_up) {
  check(are_fp32(d_gate_up, d_out) && same_shape(d_gate_up, gate_up), "expected d_gate_up of the shape of gate_up, fp32");
  check_gated(d_out, gate_up);
}

void check_linear_backward(Tensor dx, Tensor dy, const LinearWeight& weight) {
  check(are_fp32(dx, dy) && dx.rows == dy.rows && dx.cols == weight.in && dy.cols == weight.out,
        "expected dx [T, in] = W^T [in, out] x dy [T, out], fp32");
}

void check_adapter_backward(Tensor dx, Tensor d_z, Tensor dy, Tensor x, Tensor z, std::span<const TrainedRows> modules) {
  check(are_fp32(dx, d_z, dy, z) && x.rows == dy.rows && same_shape(d_z, z) && z.rows == dy.rows, "expected a row of each for a row of dy");
  check(dx.rows == 0 || same_shape(dx, x), "expected dx of the shape of x, or without rows");
  for (const TrainedRows& rows : modules) {
    const TrainedModule& module = *rows.module;
    check(are_fp32(module.a, module.b, module.a_gradient, module.b_gradient) && same_shape(module.a, module.a_gradient) &&
              same_shape(module.b, module.b_gradient) && module.a.rows == module.b.cols && module.a.cols == x.cols,
          "expected A [rank, in] and B [out, rank] with gradients of their shapes, fp32");
    check(rows.row_begin >= 0 && rows.row_count >= 0 && rows.row_begin + rows.row_count <= dy.rows && module.slice_begin >= 0 &&
              module.slice_begin + module.b.rows <= dy.cols && module.z_begin >= 0 && module.z_begin + module.a.rows <= z.cols,
          "expected a module's rows, slice and z within the batch");
  }
}

void check_rms_norm_backward(Tensor dx, Tensor dy, Tensor x, Tensor weight) {
  check(are_fp32(dx, dy, weight) && same_shape(dx, x) && same_shape(dy, x) && weight.cols > 0 && x.cols % weight.cols == 0,
        "expected dx and dy of the shape of x, in whole groups, fp32");
}

void check_rope_backward(Tensor dx, std::size_t position_count, const RopeTable& table) {
  check(dx.dtype == DType::f32 && std::cmp_equal(dx.rows, position_count) && dx.cols % table.head_stride() == 0,
        "expected whole heads and one position per row, fp32");
}

void check_attend_backward(Tensor dq, Tensor dk, Tensor dv, const AttendedRows& rows, std::span<const SpanView> spans,
                           const AttendParams& params) {
  check(are_fp32(dq, dk, dv, rows.d_out) && same_shape(dq, rows.q) && same_shape(dk, rows.k) && same_shape(dv, rows.v) &&
            same_shape(rows.k, rows.v) && same_shape(rows.out, rows.q) && same_shape(rows.d_out, rows.q) && rows.k.rows == rows.q.rows,
        "expected derivatives of the shapes of q, k and v, fp32");
  check(rows.k.cols > 0 && rows.k.cols % rows.head_dim == 0 && rows.q.cols % rows.k.cols == 0, "expected whole groups of heads");
  check(params.soft_cap == 0, "expected attention without a soft cap: its derivative is not there");
  std::int64_t end = 0;
  for (const SpanView& span : spans) {
    check(span.row_begin == end && span.row_count >= 0 && span.position_begin == 0, "expected whole samples in the order of rows");
    end += span.row_count;
  }
  check(end == rows.q.rows, "expected every row in a sample");
}

void check_cross_entropy(std::span<const LabelLoss> losses, Tensor logits, std::span<const LabelRow> labels) {
  check(logits.dtype == DType::f32 && losses.size() == labels.size() && std::cmp_equal(logits.rows, labels.size()),
        "expected a label and a loss for every row of logits, fp32");
  check(std::ranges::all_of(labels, [&](const LabelRow& label) { return label.token >= 0 && label.token < logits.cols; }),
        "expected tokens of the vocabulary");
}

void check_scatter_rows(Tensor out, Tensor in, std::size_t row_count) {
  check(are_fp32(out, in) && std::cmp_equal(in.rows, row_count) && out.cols == in.cols, "expected a row of out for every row of in, fp32");
}

}  // namespace slora
