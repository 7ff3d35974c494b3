#pragma once
#include <cstdint>

#include "ops/token.h"
#include "tensor/tensor.h"

namespace slora {

// The arguments of the ops that compute derivatives.

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

// What attention computed with and gave. q [T, heads * head_dim], k and v [T, kv_heads * head_dim] activation, as attend and store_kv took
// them; out [T, heads * head_dim] product; d_out like out, fp32.
struct AttendedRows {
  Tensor q, k, v, out, d_out;
  std::int64_t head_dim = 0;
};

}  // namespace slora
