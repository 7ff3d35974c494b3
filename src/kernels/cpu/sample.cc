#include "kernels/cpu/sample.h"

#include <algorithm>
#include <limits>

#include "kernels/reference/adjust_logits.h"

namespace slora::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TokenId draw(std::span<const float> logits, const Peak& peak, const SampleRow& row, TokenWeights& weights) {
  if (peak.value == -kInfinity) return -1;
  if (row.temperature < reference::kGreedyTemperature) return static_cast<TokenId>(peak.index);
  weights.weigh(logits, peak.value, row.temperature);
  if (row.min_p > 0) weights.keep_at_least(row.min_p);
  if (row.top_k > 0) weights.keep_most_likely(row.top_k);
  if (row.top_p < 1) weights.keep_head(row.top_p);
  return weights.draw(reference::uniform_draw(row.seed, row.choice, row.position));
}

}  // namespace

// Reserves for all threads, since it is random which of them meets which kind of row first.
void Sample::reserve(std::size_t vocab_size, std::span<const SampleRow> rows) {
  std::int32_t logprob_count = -1;
  for (const SampleRow& row : rows) logprob_count = std::max(logprob_count, row.logprob_count);
  for (WorkerScratch& scratch : worker_scratch_) {
    scratch.weights.reserve(vocab_size);
    if (logprob_count < 0) continue;
    scratch.logprobs.reserve(vocab_size, logprob_count);
    scratch.raw.reserve(vocab_size);
  }
}

void Sample::run(std::span<TokenResult> out, Tensor logits, const SampleBatch& batch) {
  reserve(static_cast<std::size_t>(logits.cols), batch.rows.on_device());
  pool_.parallel_for(std::ssize(out), [&](std::int64_t i, int worker) {
    const auto index = static_cast<std::size_t>(i);
    const SampleView view(batch, index);
    sample_row(out[index], logits_of(logits, i, view.row), view, worker_scratch_[static_cast<std::size_t>(worker)]);
  });
}

void Sample::sample_row(TokenResult& out, std::span<float> logits, const SampleView& view, WorkerScratch& scratch) const {
  out.id = -1;
  out.logprob = 0;
  out.rank = out.top_count = 0;
  Peak peak = peak_of(logits);
  if (!peak.is_finite) {
    if (!reference::make_logits_finite(logits)) return;
    peak = peak_of(logits);
  }
  if (peak.value == -kInfinity) return;
  if (view.row.logprob_count >= 0) {
    sample_with_logprobs(out, logits, peak, view, scratch);
  } else {
    out.id = adjust_and_draw(logits, peak, view, scratch.weights);
  }
}

// Log-probabilities are of the unmodified logits.
void Sample::sample_with_logprobs(TokenResult& out, std::span<float> logits, const Peak& peak, const SampleView& view,
                                  WorkerScratch& scratch) const {
  std::span<const float> raw = logits;
  if (reference::adjusts_logits(view)) {
    scratch.raw.assign(logits.begin(), logits.end());
    raw = scratch.raw;
  }
  out.id = adjust_and_draw(logits, peak, view, scratch.weights);
  if (out.id < 0) return;
  scratch.logprobs.normalise(raw, peak.value);
  out.logprob = scratch.logprobs.of(out.id);
  scratch.logprobs.find_most_likely(out, view.row.logprob_count);
}

TokenId Sample::adjust_and_draw(std::span<float> logits, Peak peak, const SampleView& view, TokenWeights& weights) const {
  if (!reference::adjusts_logits(view)) return draw(logits, peak, view.row, weights);
  const bool may_lose_all = !view.mask.empty() && (!view.banned.empty() || !view.logit_bias.empty());
  const TokenId last = may_lose_all ? reference::last_allowed_token(logits, view.mask) : -1;
  reference::adjust_before_mask(logits, view);
  if (!view.mask.empty()) mask_logits(logits, view.mask);
  peak = peak_of(logits);
  if (peak.value > -kInfinity || view.mask.empty()) return draw(logits, peak, view.row, weights);
  return may_lose_all ? last : reference::last_allowed_token(logits, view.mask);  // those allowed had no finite logit before
}

void Sample::mask_logits(std::span<float> logits, std::span<const std::uint32_t> mask) const {
  const std::size_t masked_count = std::min(logits.size(), mask.size() * 32);
  kernels_.mask_values(logits.data(), static_cast<std::int64_t>(masked_count), mask.data());
  std::ranges::fill(logits.subspan(masked_count), -kInfinity);
}

}  // namespace slora::cpu
