#pragma once
#include <cstddef>
#include <span>

#include "backend/op_args.h"
#include "ops/training.h"

namespace slora {

// The checks of the arguments of TrainOps that are the same on every backend, each of the op of its name.

void check_gated(Tensor out, Tensor gate_up);
void check_gated_backward(Tensor d_gate_up, Tensor d_out, Tensor gate_up);
void check_linear_backward(Tensor dx, Tensor dy, const LinearWeight& weight);
void check_adapter_backward(Tensor dx, Tensor d_z, Tensor dy, Tensor x, Tensor z, std::span<const TrainedRows> modules);
void check_rms_norm_backward(Tensor dx, Tensor dy, Tensor x, Tensor weight);
void check_rope_backward(Tensor dx, std::size_t position_count, const RopeTable& table);
void check_attend_backward(Tensor dq, Tensor dk, Tensor dv, const AttendedRows& rows, std::span<const SpanView> spans,
                           const AttendParams& params);
void check_cross_entropy(std::span<const LabelLoss> losses, Tensor logits, std::span<const LabelRow> labels);
void check_scatter_rows(Tensor out, Tensor in, std::size_t row_count);

}  // namespace slora
