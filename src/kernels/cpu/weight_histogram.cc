#include "kernels/cpu/weight_histogram.h"

#include <algorithm>
#include <numeric>

namespace slora::cpu {

WeightHistogram::WeightHistogram(std::span<const float> logits, std::span<const float> weights, const Bounds& bounds)
    : logits_(logits), weights_(weights), bounds_(bounds), scale_(32.0f / bounds.temperature) {
  std::int64_t far_count = 0;  // most tokens are in the last bucket: they are summed in registers
  double far_mass = 0;
  for (std::size_t token = 0; token < logits.size(); ++token) {
    if (!counts(token)) continue;
    const std::size_t bucket = bucket_of(logits[token]);
    if (bucket == kBuckets - 1) {
      ++far_count;
      far_mass += static_cast<double>(weights[token]);
    } else {
      ++counts_[bucket];
      masses_[bucket] += static_cast<double>(weights[token]);
    }
  }
  counts_[kBuckets - 1] = far_count;
  masses_[kBuckets - 1] = far_mass;
}

double WeightHistogram::total_mass() const { return std::accumulate(masses_.begin(), masses_.end(), 0.0); }

void WeightHistogram::find_tokens(std::vector<TokenId>& tokens, std::size_t bucket) const {
  tokens.clear();
  for (std::size_t token = 0; token < logits_.size(); ++token) {
    if (counts(token) && bucket_of(logits_[token]) == bucket) tokens.push_back(static_cast<TokenId>(token));
  }
  std::sort(tokens.begin(), tokens.end(), [&](TokenId a, TokenId b) {
    const float x = logits_[static_cast<std::size_t>(a)];
    const float y = logits_[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  });
}

}  // namespace slora::cpu
