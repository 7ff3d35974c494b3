#pragma once
#include <cstdint>

#include "backend/op_args.h"
#include "base/ids.h"

namespace slora {

// The input of one forward pass: T rows, span after span. Built by the engine's batch builder, const afterwards.
struct ForwardBatch {
  StepArray<TokenId> tokens;              // [T]; negative: drawn by row -1 - token of the previous step
  StepArray<std::int32_t> rope_rows;      // [T] of the RoPE table: the position, after where the adapter's part begins
  SpanBatch spans;                        // cover the rows in order
  AdapterBatch adapters;                  // segments over the rows
  const TokenResult* previous = nullptr;  // of the previous step, in device memory; read for negative tokens only
};

// Rows of a batch whose logits are computed, at most as many as fit in the model's buffer.
struct OutputBlock {
  StepArray<std::int32_t> rows;
  AdapterBatch adapters;          // segments over `rows`, of adapters that change the head
  std::int32_t added_tokens = 0;  // the most that an adapter of a row has beyond the base's vocabulary
};

}  // namespace slora
