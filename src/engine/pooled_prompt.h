#pragma once
#include <cstdint>
#include <vector>

#include "ops/pooling.h"
#include "tensor/tensor.h"

namespace slora {

// The embedding of a prompt while it is computed, span after span. Positions are added one by one in their order, so that its bits don't
// depend on how the prompt was cut; those that are computed again after a preemption are left out. Owned by its sequence, used on the
// engine thread.
class PooledPrompt {
 public:
  // Adds a span's hidden states [tokens, hidden], in host memory. Spans come in order, from position 0 on again after a preemption; with
  // Pooling::last those of cached prefixes may be missing. Requires: pooling is not none.
  void add(Pooling pooling, std::int32_t position_begin, Tensor hidden);
  // [hidden] Requires: the span of the last token was added.
  [[nodiscard]] std::vector<float> take();

 private:
  std::vector<double> sum_;  // [hidden]
  std::vector<float> row_;   // [hidden] the latest position's
  std::int32_t added_ = 0;   // positions in the sum
};

}  // namespace slora
