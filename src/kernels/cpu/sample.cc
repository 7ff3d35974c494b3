#include "kernels/cpu/sample.h"

#include <algorithm>
#include <limits>

#include "kernels/reference/adjust_logits.h"

namespace slora::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TokenId draw(std::span<const float> logits, const Peak& peak, const SampleRow& row, TokenWeights& weights) {
  if (peak.value == -kInfinity) return -1;
  const SamplingParams& params = *row.params;
  if (params.temperature < reference::kGreedyTemperature) return static_cast<TokenId>(peak.index);
  weights.weigh(logits, peak.value, params.temperature);
  if (params.min_p > 0) weights.keep_at_least(params.min_p);
  if (params.top_k > 0) weights.keep_most_likely(params.top_k);
  if (params.top_p < 1) weights.keep_head(params.top_p);
  return weights.draw(reference::uniform_draw(params.seed, row.choice, row.position));
}

}  // namespace

// Reserves for all threads, since it is random which of them meets which kind of row first.
void Sample::reserve(std::size_t vocab_size, std::span<const SampleRow> rows) {
  std::int32_t logprob_count = -1;
  for (const SampleRow& row : rows) logprob_count = std::max(logprob_count, row.params->logprob_count);
  for (WorkerScratch& scratch : worker_scratch_) {
    scratch.weights.reserve(vocab_size);
    if (logprob_count < 0) continue;
    scratch.logprobs.reserve(vocab_size, logprob_count);
    scratch.raw.reserve(vocab_size);
  }
}

void Sample::run(std::span<Token> out, Tensor logits, std::span<const SampleRow> rows) {
  reserve(static_cast<std::size_t>(logits.cols), rows);
  pool_.parallel_for(static_cast<std::int64_t>(rows.size()), [&](std::int64_t i, int worker) {
    const auto index = static_cast<std::size_t>(i);
    sample_row(out[index], {logits.row<float>(i), static_cast<std::size_t>(logits.cols)}, rows[index],
               worker_scratch_[static_cast<std::size_t>(worker)]);
  });
}

void Sample::sample_row(Token& out, std::span<float> logits, const SampleRow& row, WorkerScratch& scratch) const {
  out.id = -1;
  out.logprob = 0;
  out.top.clear();
  Peak peak = peak_of(logits);
  if (!peak.is_finite) {
    if (!reference::make_logits_finite(logits)) return;
    peak = peak_of(logits);
  }
  if (peak.value == -kInfinity) return;
  if (row.params->logprob_count >= 0) {
    sample_with_logprobs(out, logits, peak, row, scratch);
  } else {
    out.id = adjust_and_draw(logits, peak, row, scratch.weights);
  }
}

// Log-probabilities are of the unmodified logits.
void Sample::sample_with_logprobs(Token& out, std::span<float> logits, const Peak& peak, const SampleRow& row,
                                  WorkerScratch& scratch) const {
  std::span<const float> raw = logits;
  if (reference::adjusts_logits(row)) {
    scratch.raw.assign(logits.begin(), logits.end());
    raw = scratch.raw;
  }
  out.id = adjust_and_draw(logits, peak, row, scratch.weights);
  if (out.id < 0) return;
  scratch.logprobs.normalise(raw, peak.value);
  out.logprob = scratch.logprobs.of(out.id);
  scratch.logprobs.find_most_likely(out.top, row.params->logprob_count);
}

TokenId Sample::adjust_and_draw(std::span<float> logits, Peak peak, const SampleRow& row, TokenWeights& weights) const {
  if (reference::adjusts_logits(row)) {
    reference::adjust_logits(logits, row);
    peak = peak_of(logits);
  }
  return draw(logits, peak, row, weights);
}

}  // namespace slora::cpu
