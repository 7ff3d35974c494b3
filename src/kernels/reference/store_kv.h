#pragma once
#include <span>

#include "ops/kv_layer.h"
#include "tensor/tensor.h"

namespace slora::reference {

// Writes k and v [T, kv_heads * head_dim] fp32 of every span into its pages: [kv_heads, page_tokens, head_dim] fp32.
void store_kv(const KvLayer& layer, Tensor k, Tensor v, const SpanBatch& spans);

}  // namespace slora::reference
