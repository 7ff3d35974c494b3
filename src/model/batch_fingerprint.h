#pragma once
#include <cstdint>

#include "model/forward_batch.h"

namespace slora {

// A hash of what all shards must have in common: tokens, positions, pages and segments, not the adapters' views. Equal on every machine.
[[nodiscard]] std::uint64_t fingerprint(const ForwardBatch& batch);

}  // namespace slora
