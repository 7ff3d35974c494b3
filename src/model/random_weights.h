#pragma once
#include <cstdint>

#include "model/weights.h"

namespace slora {

// Weights of the config's shape, drawn from `seed`, for measuring without a model's files. Numbers are as large as keeps activations and
// logits near 1; rows are runs of one list of random numbers, each starting at another offset, so that drawing takes no time. Shards get
// their parts of the same model.
[[nodiscard]] ModelWeights random_weights(const ModelConfig& config, const ShardShape& shape, Backend& backend, std::uint64_t seed,
                                          const LoadProgress& progress);

}  // namespace slora
