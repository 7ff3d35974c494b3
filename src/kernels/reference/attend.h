#pragma once
#include <span>

#include "ops/kv_layer.h"
#include "tensor/tensor.h"

namespace slora::reference {

// out[t, h] = sum over visible keys j of softmax_j(scale * q[t, h] k[j, g]) v[j, g], g = h / (heads / kv_heads): causal, the last
// `window` keys where that is not 0. q and out [T, heads * head_dim] fp32; keys and values as store_kv wrote them.
void attend(Tensor out, Tensor q, const KvLayer& layer, const SpanBatch& spans, const AttendParams& params);

}  // namespace slora::reference
