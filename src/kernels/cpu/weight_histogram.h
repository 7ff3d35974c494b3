#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"

namespace slora::cpu {

// Tokens by the distance of their logit from the highest, in steps of 1/32 of the temperature: how many, and what they weigh. Finds
// where a cut falls without sorting the vocabulary: only the tokens of one bucket are ordered.
class WeightHistogram {
 public:
  static constexpr std::size_t kBuckets = 1024;  // the last takes all that is further than 32 temperatures

  // What counts: tokens whose weight is at least min_weight and whose logit is finite and at least `lowest`.
  struct Bounds {
    float highest;
    float temperature;
    float min_weight;
    float lowest;
  };

  // logits and weights [vocab] outlive the histogram.
  WeightHistogram(std::span<const float> logits, std::span<const float> weights, const Bounds& bounds);

  [[nodiscard]] std::int64_t count(std::size_t bucket) const { return counts_[bucket]; }
  [[nodiscard]] double mass(std::size_t bucket) const { return masses_[bucket]; }
  [[nodiscard]] double total_mass() const;

  // Replaces `tokens` by those of the bucket, by logit descending, then token ascending.
  void find_tokens(std::vector<TokenId>& tokens, std::size_t bucket) const;

 private:
  [[nodiscard]] bool counts(std::size_t token) const { return weights_[token] >= bounds_.min_weight && logits_[token] >= bounds_.lowest; }
  [[nodiscard]] std::size_t bucket_of(float logit) const {
    const float distance = (bounds_.highest - logit) * scale_;
    return distance < static_cast<float>(kBuckets - 1) ? static_cast<std::size_t>(distance) : kBuckets - 1;
  }

  const std::span<const float> logits_;
  const std::span<const float> weights_;
  const Bounds bounds_;
  const float scale_;
  std::array<std::int64_t, kBuckets> counts_{};
  std::array<double, kBuckets> masses_{};
};

}  // namespace slora::cpu
