#pragma once
#include <span>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/logprobs.h"
#include "ops/sampling.h"
#include "ops/token.h"

namespace slora::cpu {

// Does what reference::score does, without sorting the vocabulary. Holds scratch; owned by a backend, called by its engine thread.
class Score {
 public:
  Score(const Kernels& kernels, ThreadPool& pool)
      : kernels_(kernels), pool_(pool), logprobs_(static_cast<std::size_t>(pool.thread_count()), Logprobs(kernels)) {}

  void run(std::span<TokenResult> out, Tensor logits, std::span<const ScoreRow> rows);

 private:
  void score_row(TokenResult& out, std::span<float> logits, const ScoreRow& row, Logprobs& logprobs) const;

  const Kernels& kernels_;
  ThreadPool& pool_;
  std::vector<Logprobs> logprobs_;  // one per thread
};

}  // namespace slora::cpu
