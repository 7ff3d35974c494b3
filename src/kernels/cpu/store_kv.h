#pragma once
#include <span>

#include "kernels/cpu/thread_pool.h"
#include "ops/kv_layer.h"
#include "tensor/tensor.h"

namespace slora::cpu {

// Writes k and v [T, kv_heads * head_dim] fp32 of every span into its pages, rounded to bf16, in the layout of kv_words.h.
void store_kv(ThreadPool& pool, const KvLayer& layer, Tensor k, Tensor v, const SpanBatch& spans);

}  // namespace slora::cpu
