#pragma once
#include <cstdint>
#include <span>

#include "backend/op_args.h"
#include "base/ids.h"

namespace slora {

// The input of one forward pass: T rows, span after span. Built by the engine's batch builder, const afterwards.
struct ForwardBatch {
  std::span<const TokenId> tokens;          // [T]
  std::span<const std::int32_t> positions;  // [T]
  std::span<const SpanView> spans;          // cover the rows in order
  AdapterBatch adapters;                    // segments over the rows
};

// Rows of a batch whose logits are computed, at most as many as fit in the model's buffer.
struct OutputBlock {
  std::span<const std::int32_t> rows;
  AdapterBatch adapters;  // segments over `rows`, of adapters that change the head
};

}  // namespace slora
