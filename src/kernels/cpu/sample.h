#pragma once
#include <span>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/logprobs.h"
#include "kernels/cpu/token_weights.h"
#include "ops/sampling.h"
#include "ops/token.h"

namespace slora::cpu {

// Draws out[i] from logits row i [out.size(), vocab] fp32, which is overwritten. Does what reference::sample does, without sorting the
// vocabulary. Weights are fp32, so a draw within 1e-6 of a boundary may fall on the other side of it. Each row is processed by one thread.
// Holds scratch; owned by a backend, called by its engine thread.
class Sample {
 public:
  Sample(const Kernels& kernels, ThreadPool& pool)
      : kernels_(kernels), pool_(pool), worker_scratch_(static_cast<std::size_t>(pool.thread_count()), WorkerScratch(kernels)) {}

  void run(std::span<TokenResult> out, Tensor logits, const SampleBatch& batch);

 private:
  struct WorkerScratch {
    explicit WorkerScratch(const Kernels& kernels) : weights(kernels), logprobs(kernels) {}
    TokenWeights weights;
    Logprobs logprobs;
    std::vector<float> raw;  // [vocab] the unmodified logits
  };

  void reserve(std::size_t vocab_size, std::span<const SampleRow> rows);
  void sample_row(TokenResult& out, std::span<float> logits, const SampleView& view, WorkerScratch& scratch) const;
  void sample_with_logprobs(TokenResult& out, std::span<float> logits, const Peak& peak, const SampleView& view,
                            WorkerScratch& scratch) const;
  [[nodiscard]] TokenId adjust_and_draw(std::span<float> logits, Peak peak, const SampleView& view, TokenWeights& weights) const;
  // Where a row has a mask.
  void mask_logits(std::span<float> logits, std::span<const std::uint32_t> mask) const;
  [[nodiscard]] Peak peak_of(std::span<const float> logits) const { return kernels_.find_peak(logits.data(), std::ssize(logits)); }

  const Kernels& kernels_;
  ThreadPool& pool_;
  std::vector<WorkerScratch> worker_scratch_;  // one per thread
};

}  // namespace slora::cpu
