#include "kernels/cpu/sample.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/logprobs.h"
#include "kernels/cpu/weight_histogram.h"
#include "kernels/reference/adjust_logits.h"
#include "kernels/reference/logprobs.h"

namespace slora::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TokenId first_token_with(std::span<const float> logits, float logit) {
  return static_cast<TokenId>(std::find(logits.begin(), logits.end(), logit) - logits.begin());
}

// The token at which the running sum of the kept weights passes the draw's share of `total`.
template <class Kept>
TokenId walk(std::span<const float> weights, double target, Kept kept) {
  double sum = 0;
  TokenId last = -1;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] == 0 || !kept(i)) continue;
    sum += static_cast<double>(weights[i]);
    last = static_cast<TokenId>(i);
    if (sum > target) return last;
  }
  return last;
}

}  // namespace

void Sample::run(std::span<SampledToken> out, Tensor logits, std::span<const SampleRow> rows) {
  pool_.parallel_for(static_cast<std::int64_t>(rows.size()), [&](std::int64_t i, int worker) {
    const auto index = static_cast<std::size_t>(i);
    sample_row(out[index], {logits.row<float>(i), static_cast<std::size_t>(logits.cols)}, rows[index],
               rooms_[static_cast<std::size_t>(worker)]);
  });
}

void Sample::sample_row(SampledToken& out, std::span<float> logits, const SampleRow& row, Room& room) const {
  out = SampledToken{};
  if (!reference::make_logits_orderly(logits)) return;
  room.weights.resize(logits.size());
  if (row.logprob_count < 0) {
    reference::adjust_logits(logits, row);
    out.token = draw(logits, row, room);
    return;
  }
  // Log-probabilities are of the logits before any change.
  room.raw.assign(logits.begin(), logits.end());
  reference::adjust_logits(logits, row);
  out.token = draw(logits, row, room);
  if (out.token < 0) return;
  const double normaliser = log_sum_exp(kernels_, room.weights, room.raw);
  out.logprob = reference::logprob_of(out.token, room.raw, normaliser);
  find_most_likely(out.top, room.candidates, room.raw, normaliser, row.logprob_count);
}

TokenId Sample::draw(std::span<const float> logits, const SampleRow& row, Room& room) const {
  const auto size = static_cast<std::int64_t>(logits.size());
  const float highest = kernels_.maximum(logits.data(), size);
  if (highest == -kInfinity) return -1;
  if (row.temperature < reference::kGreedyTemperature) return first_token_with(logits, highest);
  const double total = kernels_.exp_weights(room.weights.data(), logits.data(), size, highest, 1.0f / row.temperature);
  const double share = reference::uniform_draw(row.seed, row.choice, row.position);
  if (row.min_p <= 0 && row.top_k <= 0 && row.top_p >= 1) {
    return walk(room.weights, share * total, [](std::size_t) { return true; });
  }
  if (const std::optional<TokenId> near = draw_near(logits, row, total, room)) return *near;
  const Cut cut = find_cut(logits, row, highest, room);
  const auto kept = [&](std::size_t i) {
    return room.weights[i] >= std::min(row.min_p, 1.0f) &&
           (logits[i] > cut.logit || (logits[i] == cut.logit && static_cast<TokenId>(i) <= cut.token));
  };
  double kept_total = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) kept_total += kept(i) ? static_cast<double>(room.weights[i]) : 0.0;
  return walk(room.weights, share * kept_total, kept);
}

std::optional<TokenId> Sample::draw_near(std::span<const float> logits, const SampleRow& row, double total, Room& room) const {
  constexpr float kNearWeight = 0x1p-14f;
  constexpr std::int64_t kNearMax = 4096;
  const float min_weight = std::min(row.min_p, 1.0f);  // the highest always stays
  const bool complete = min_weight >= kNearWeight;     // min-p keeps no token that is not found here
  std::vector<TokenId>& tokens = room.candidates;
  tokens.resize(kNearMax);
  const std::int64_t found = kernels_.find_at_least(tokens.data(), kNearMax, room.weights.data(), static_cast<std::int64_t>(logits.size()),
                                                    complete ? min_weight : kNearWeight);
  const bool has_k = row.top_k > 0 && found >= row.top_k;
  if (found > kNearMax || (!complete && !has_k && (row.top_k > 0 || row.min_p > 0))) return std::nullopt;
  tokens.resize(static_cast<std::size_t>(found));
  std::sort(tokens.begin(), tokens.end(), Order{logits});

  const auto weight_of = [&](TokenId token) { return static_cast<double>(room.weights[static_cast<std::size_t>(token)]); };
  std::size_t kept = tokens.size();
  if (has_k) {
    const float lowest = logits[static_cast<std::size_t>(tokens[static_cast<std::size_t>(row.top_k) - 1])];
    while (logits[static_cast<std::size_t>(tokens[kept - 1])] < lowest) --kept;
  }
  if (complete || has_k) {
    total = 0;
    for (std::size_t i = 0; i < kept; ++i) total += weight_of(tokens[i]);
  }
  double head = total;
  if (row.top_p < 1) {
    const double target = static_cast<double>(row.top_p) * total;
    std::size_t length = 1;
    head = weight_of(tokens[0]);
    while (length < kept && head < target) head += weight_of(tokens[length++]);
    if (head < target && !complete && !has_k) return std::nullopt;
    kept = length;
  }
  tokens.resize(kept);
  std::sort(tokens.begin(), tokens.end());
  const double target = reference::uniform_draw(row.seed, row.choice, row.position) * head;
  double sum = 0;
  for (const TokenId token : tokens) {
    sum += weight_of(token);
    if (sum > target) return token;
  }
  return tokens.back();
}

Sample::Cut Sample::find_cut(std::span<const float> logits, const SampleRow& row, float highest, Room& room) {
  constexpr TokenId kAnyToken = std::numeric_limits<TokenId>::max();
  WeightHistogram::Bounds bounds{highest, row.temperature, std::min(row.min_p, 1.0f), std::numeric_limits<float>::lowest()};
  std::vector<TokenId>& tokens = room.candidates;
  if (row.top_k > 0) {
    const WeightHistogram histogram(logits, room.weights, bounds);
    std::int64_t count = 0;
    std::size_t bucket = 0;
    while (bucket < WeightHistogram::kBuckets && count + histogram.count(bucket) < row.top_k) count += histogram.count(bucket++);
    if (bucket < WeightHistogram::kBuckets) {
      histogram.find_tokens(tokens, bucket);
      bounds.lowest = logits[static_cast<std::size_t>(tokens[static_cast<std::size_t>(row.top_k - count - 1)])];
    }
  }
  Cut cut{bounds.lowest, kAnyToken};
  if (row.top_p >= 1) return cut;

  const WeightHistogram histogram(logits, room.weights, bounds);
  const double target = static_cast<double>(row.top_p) * histogram.total_mass();
  double head = 0;
  std::size_t bucket = 0;
  while (bucket < WeightHistogram::kBuckets && head + histogram.mass(bucket) < target) head += histogram.mass(bucket++);
  if (bucket == WeightHistogram::kBuckets) return cut;  // only rounding kept the head below the target
  histogram.find_tokens(tokens, bucket);
  for (const TokenId token : tokens) {
    cut = {logits[static_cast<std::size_t>(token)], token};
    head += static_cast<double>(room.weights[static_cast<std::size_t>(token)]);
    if (head >= target) break;
  }
  return cut;
}

}  // namespace slora::cpu
