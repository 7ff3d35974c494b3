#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/sampling.h"
#include "kernels/cpu/kernels.h"

namespace slora::cpu {

// By logit descending, then token ascending.
struct Order {
  std::span<const float> logits;
  bool operator()(TokenId a, TokenId b) const {
    const float x = logits[static_cast<std::size_t>(a)];
    const float y = logits[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  }
};

// log(sum(exp(logit))) of logits [vocab], finite or -inf and one of them finite. weights [vocab] is scratch.
[[nodiscard]] double log_sum_exp(const Kernels& kernels, std::span<float> weights, std::span<const float> logits);

// Replaces `out` by the first `count` tokens with a finite logit in the order. `best` is scratch.
void find_most_likely(std::vector<TokenLogprob>& out, std::vector<TokenId>& best, std::span<const float> logits, double normaliser,
                      std::int32_t count);

}  // namespace slora::cpu
