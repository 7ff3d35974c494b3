#pragma once
#include <memory>
#include <span>
#include <vector>

#include "engine/runtime.h"
#include "model/weights.h"

namespace slora {

struct LoadedWeights {
  std::vector<ModelWeights> shards;
  std::uint64_t packed_bytes = 0;
  std::uint64_t file_bytes = 0;  // 0: weights were drawn
  double seconds = 0;
};

// `files`: null to draw the weights. All shards at once, each with the threads of its backend. Shard 0 reports the progress.
[[nodiscard]] Result<LoadedWeights> make_weights(const RuntimeOptions& options, const ModelConfig& config, const ModelFiles* files,
                                                 std::span<const ShardShape> shapes, std::span<const std::unique_ptr<Backend>> backends);

}  // namespace slora
