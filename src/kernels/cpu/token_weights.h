#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/weight_cut.h"

namespace slora::cpu {

// The tokens of one row of logits by weight, exp((logit - highest) / temperature), and which of them may be drawn: all at first, fewer
// after each keep_*(). Cuts are found by counting and summing the weights in a few ranges, never by sorting the vocabulary; only the tokens
// around a cut are sorted. Holds scratch that grows to the vocabulary; used by one thread.
class TokenWeights {
 public:
  explicit TokenWeights(const Kernels& kernels) : kernels_(&kernels) {}

  // Reserves memory for a vocabulary, so that later calls allocate nothing.
  void reserve(std::size_t vocab_size);
  // Starts with a new row. Borrows logits [vocab] until the draw. Requires: `highest` is the largest of them and finite; none is NaN.
  void weigh(std::span<const float> logits, float highest, float temperature);

  // Keeps tokens of at least this weight; the heaviest, of weight 1, always stay. Requires: no other keep_*() was called before.
  void keep_at_least(float weight);
  // Keeps the `count` most likely tokens, and those exactly as likely as the last of them. Requires: count >= 1; only keep_at_least() was
  // called before.
  void keep_most_likely(std::int64_t count);
  // Keeps the shortest prefix of the order (logit descending, token ascending) that has this share of the weight kept so far.
  void keep_head(float share);

  // The kept token at which the running sum of the kept weights, by token, passes `share` of their total; share in [0, 1). Must be the last
  // call for a row.
  [[nodiscard]] TokenId draw(double share);

 private:
  struct Candidate {
    float logit, weight;
    TokenId token;
    // The order in which tokens are kept.
    bool operator<(const Candidate& other) const { return logit != other.logit ? logit > other.logit : token < other.token; }
  };

  [[nodiscard]] bool try_cut(double target, Measure measure);
  void measure_range(const BitRange& range, std::size_t inside_max);
  void shorten_inside(double target, Measure measure);
  void sort_few(std::span<const std::int32_t> places);
  [[nodiscard]] float weight_of(TokenId token) const { return weights_[static_cast<std::size_t>(token)]; }
  [[nodiscard]] TokenId draw_in_block(std::size_t block, double target) const;

  const Kernels* kernels_;
  std::span<const float> logits_;  // [vocab]
  std::vector<float> weights_;     // [vocab]
  // Kept are all tokens of weight bound_ or more, and of the lighter ones those in inside_.
  float bound_ = 0;
  RangeTotals measured_;  // totals of inside_range_, whose upper end is bound_
  BitRange inside_range_{};
  std::vector<double> block_sums_;      // [blocks of the vocabulary] sums of the weights of at least bound_
  std::vector<TokenId> inside_buffer_;  // [vocab + kLanes]
  std::span<TokenId> inside_;           // ascending; a part of inside_buffer_
  // Scratch of shorten_inside:
  std::vector<float> inside_weights_;     // [inside_]
  std::vector<double> inside_sums_;       // [blocks of inside_]
  std::vector<std::int32_t> few_buffer_;  // [inside_ + kLanes] indices into inside_
  std::vector<Candidate> candidates_;     // the tokens at those indices
};

}  // namespace slora::cpu
