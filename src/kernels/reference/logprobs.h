#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ops/token.h"

namespace slora::reference {

// Functions of one row of logits [vocab], each finite or -inf. The order of tokens is by logit descending, then token ascending.

// All tokens with a finite logit, in order.
[[nodiscard]] std::vector<TokenId> ordered_tokens(std::span<const float> logits);

// The place of a token in the order of the whole vocabulary, starting from 1.
[[nodiscard]] std::int32_t rank_of(TokenId token, std::span<const float> logits);

// log(sum(exp(logit))). Requires: one logit is finite.
[[nodiscard]] double log_sum_exp(std::span<const float> logits);

// logit - normaliser, rounded once.
[[nodiscard]] inline float logprob_of(TokenId token, std::span<const float> logits, double normaliser) {
  return static_cast<float>(static_cast<double>(logits[static_cast<std::size_t>(token)]) - normaliser);
}

// Sets the most likely tokens: the first `count` of the order.
void set_most_likely(TokenResult& out, std::span<const float> logits, double normaliser, std::int32_t count);

}  // namespace slora::reference
