#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "ops/token.h"

namespace slora::cpu {

// Log-probabilities under one row of logits [vocab], each finite or -inf. Holds scratch that grows to the vocabulary; used by one thread.
class Logprobs {
 public:
  explicit Logprobs(const Kernels& kernels) : kernels_(&kernels) {}

  // Reserves memory for a vocabulary and its `count` most likely tokens, so that later calls allocate nothing.
  void reserve(std::size_t vocab_size, std::int32_t count);
  // Starts with a new row and borrows it. Requires: `highest` is the largest logit and finite.
  void normalise(std::span<const float> logits, float highest);

  [[nodiscard]] float of(TokenId token) const;
  // The token's place in the order (logit descending, token ascending), from 1 on.
  [[nodiscard]] std::int32_t rank_of(TokenId token) const;
  // Sets the most likely tokens: the first `count` with a finite logit in the order (logit descending, token ascending).
  void find_most_likely(TokenResult& out, std::int32_t count);

 private:
  const Kernels* kernels_;
  std::span<const float> logits_;   // [vocab]
  double normaliser_ = 0;           // log(sum(exp(logit)))
  std::vector<float> weights_;      // [vocab]
  std::vector<double> block_sums_;  // [blocks of the vocabulary]
  std::vector<TokenId> found_;      // [kWeightBlock]
  std::vector<TokenId> best_;
};

}  // namespace slora::cpu
