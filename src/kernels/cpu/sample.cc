#include "kernels/cpu/sample.h"

#include <algorithm>
#include <limits>

#include "kernels/reference/adjust_logits.h"

namespace slora::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

bool adjusts(const SampleRow& row) {
  const bool penalises = row.repetition_penalty != 1 || row.presence_penalty != 0 || row.frequency_penalty != 0;
  return penalises || !row.logit_bias.empty() || !row.banned.empty();
}

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

// For all threads: which of them takes rows of what kind, and when for the first time, is chance.
void Sample::reserve(std::size_t vocab_size, std::span<const SampleRow> rows) {
  std::int32_t logprob_count = -1;
  for (const SampleRow& row : rows) logprob_count = std::max(logprob_count, row.logprob_count);
  for (Room& room : rooms_) {
    room.weights.reserve(vocab_size);
    if (logprob_count < 0) continue;
    room.logprobs.reserve(vocab_size, logprob_count);
    room.raw.reserve(vocab_size);
  }
}

void Sample::run(std::span<SampledToken> out, Tensor logits, std::span<const SampleRow> rows) {
  reserve(static_cast<std::size_t>(logits.cols), rows);
  pool_.parallel_for(static_cast<std::int64_t>(rows.size()), [&](std::int64_t i, int worker) {
    const auto index = static_cast<std::size_t>(i);
    sample_row(out[index], {logits.row<float>(i), static_cast<std::size_t>(logits.cols)}, rows[index],
               rooms_[static_cast<std::size_t>(worker)]);
  });
}

void Sample::sample_row(SampledToken& out, std::span<float> logits, const SampleRow& row, Room& room) const {
  out.token = -1;
  out.logprob = 0;
  out.top.clear();
  Peak peak = peak_of(logits);
  if (!peak.is_orderly) {
    if (!reference::make_logits_orderly(logits)) return;
    peak = peak_of(logits);
  }
  if (peak.value == -kInfinity) return;
  if (row.logprob_count >= 0) {
    sample_with_logprobs(out, logits, peak, row, room);
  } else {
    out.token = adjust_and_draw(logits, peak, row, room.weights);
  }
}

// Log-probabilities are of the logits before any change.
void Sample::sample_with_logprobs(SampledToken& out, std::span<float> logits, const Peak& peak, const SampleRow& row, Room& room) const {
  std::span<const float> raw = logits;
  if (adjusts(row)) {
    room.raw.assign(logits.begin(), logits.end());
    raw = room.raw;
  }
  out.token = adjust_and_draw(logits, peak, row, room.weights);
  if (out.token < 0) return;
  room.logprobs.normalise(raw, peak.value);
  out.logprob = room.logprobs.of(out.token);
  room.logprobs.find_most_likely(out.top, row.logprob_count);
}

TokenId Sample::adjust_and_draw(std::span<float> logits, Peak peak, const SampleRow& row, TokenWeights& weights) const {
  if (adjusts(row)) {
    reference::adjust_logits(logits, row);
    peak = peak_of(logits);
  }
  return draw(logits, peak, row, weights);
}

}  // namespace slora::cpu
