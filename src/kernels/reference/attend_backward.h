#pragma once
#include <span>

#include "ops/kv_layer.h"
#include "ops/training.h"

namespace slora::reference {

// Of attend, whose spans are samples from position 0 on. For query row i of head h, keys j that it sees, and g = h / (heads / kv_heads):
// P_ij = softmax_j(scale q_i k_j), D_i = d_out_i out_i, dS_ij = P_ij (d_out_i v_j - D_i), dq_i = scale sum_j dS_ij k_j,
// dk_j = scale sum over i and the heads of g of dS_ij q_i, dv_j = the same sum of P_ij d_out_i. All fp32.
void attend_backward(Tensor dq, Tensor dk, Tensor dv, const AttendedRows& rows, std::span<const SpanView> spans,
                     const AttendParams& params);

}  // namespace slora::reference
