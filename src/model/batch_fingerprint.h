#pragma once
#include <cstdint>

#include "model/forward_batch.h"

namespace slora {

// A hash of what all shards must have in common: tokens, rows of the RoPE table, pages, and the segments with the ids and weights of their
// adapters, not the views themselves. Equal on every machine.
[[nodiscard]] std::uint64_t fingerprint(const ForwardBatch& batch);
// The same of rows whose logits are computed.
[[nodiscard]] std::uint64_t fingerprint(const OutputBlock& block);

}  // namespace slora
