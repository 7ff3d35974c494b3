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

// For all threads: which of them takes rows of what kind, and when for the first time, is chance.
void Sample::reserve(std::size_t vocab_size, std::span<const SampleRow> rows) {
  std::int32_t logprob_count = -1;
  for (const SampleRow& row : rows) logprob_count = std::max(logprob_count, row.params->logprob_count);
  for (Room& room : rooms_) {
    room.weights.reserve(vocab_size);
    if (logprob_count < 0) continue;
    room.logprobs.reserve(vocab_size, logprob_count);
    room.raw.reserve(vocab_size);
  }
}

void Sample::run(std::span<Token> out, Tensor logits, std::span<const SampleRow> rows) {
  reserve(static_cast<std::size_t>(logits.cols), rows);
  pool_.parallel_for(static_cast<std::int64_t>(rows.size()), [&](std::int64_t i, int worker) {
    const auto index = static_cast<std::size_t>(i);
    sample_row(out[index], {logits.row<float>(i), static_cast<std::size_t>(logits.cols)}, rows[index],
               rooms_[static_cast<std::size_t>(worker)]);
  });
}

void Sample::sample_row(Token& out, std::span<float> logits, const SampleRow& row, Room& room) const {
  out.id = -1;
  out.logprob = 0;
  out.top.clear();
  Peak peak = peak_of(logits);
  if (!peak.is_orderly) {
    if (!reference::make_logits_orderly(logits)) return;
    peak = peak_of(logits);
  }
  if (peak.value == -kInfinity) return;
  if (row.params->logprob_count >= 0) {
    sample_with_logprobs(out, logits, peak, row, room);
  } else {
    out.id = adjust_and_draw(logits, peak, row, room.weights);
  }
}

// Log-probabilities are of the logits before any change.
void Sample::sample_with_logprobs(Token& out, std::span<float> logits, const Peak& peak, const SampleRow& row, Room& room) const {
  std::span<const float> raw = logits;
  if (reference::adjusts_logits(row)) {
    room.raw.assign(logits.begin(), logits.end());
    raw = room.raw;
  }
  out.id = adjust_and_draw(logits, peak, row, room.weights);
  if (out.id < 0) return;
  room.logprobs.normalise(raw, peak.value);
  out.logprob = room.logprobs.of(out.id);
  room.logprobs.find_most_likely(out.top, row.params->logprob_count);
}

TokenId Sample::adjust_and_draw(std::span<float> logits, Peak peak, const SampleRow& row, TokenWeights& weights) const {
  if (reference::adjusts_logits(row)) {
    reference::adjust_logits(logits, row);
    peak = peak_of(logits);
  }
  return draw(logits, peak, row, weights);
}

}  // namespace slora::cpu
