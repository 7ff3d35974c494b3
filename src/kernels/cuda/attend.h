#pragma once
#include "kernels/cuda/args.h"
#include "kernels/cuda/stream.h"
#include "tensor/tensor.h"

namespace slora::cuda {

// A few consecutive queries of one span with the query heads of one kv head: the rows of one tile.
struct AttendItem {
  static constexpr std::int32_t kRowsMax = 16;  // queries times heads of the group

  std::int32_t span;
  std::int32_t query_begin;  // in the span
  std::int32_t query_count;
  std::int32_t kv_head;
};

// What one launch of attend does. It lies in device memory, as the items: the launches of a graph are repeated with the same arguments, but
// with other lists.
struct AttendList {
  const AttendItem* items;
  std::int32_t item_count;
};

// All arrays are in device memory; the launch depends on none of them but on `blocks`.
struct AttendArgs {
  StepSpans spans;
  const AttendList* list;
  float scale;          // of q k^T
  std::int32_t window;  // keys a query sees, itself included; 0 = all before it
};

// Causal attention of q [T, heads * head_dim] bf16 over the stored keys and values; out [T, heads * head_dim] bf16. Query head h reads kv
// head h / (heads / kv_heads). A row's result does not depend on the other rows of its item. Requires: at most 16 query heads a kv head, an
// even head_dim up to 128.
void attend(Stream stream, Tensor out, Tensor q, const KvPages& layer, const AttendArgs& args, std::int32_t blocks);

}  // namespace slora::cuda
