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
// with each keep_. What is cut off is found by counting the weights in a few ranges, never by sorting the vocabulary; tokens are put in
// order only where the cut falls. Holds scratch that grows to the vocabulary; one thread's.
class TokenWeights {
 public:
  explicit TokenWeights(const Kernels& kernels) : kernels_(&kernels) {}

  // Room for a vocabulary, so that later calls allocate nothing.
  void reserve(std::size_t vocab_size);
  // Starts anew. logits [vocab] outlive their use here. Requires: none above `highest`, which is finite and one of them; none is NaN.
  void weigh(std::span<const float> logits, float highest, float temperature);

  // Those that weigh at least this much; the heaviest, which weigh 1, always stay. Requires: nothing was cut off yet.
  void keep_at_least(float weight);
  // The `count` most likely, and those as likely as the last of them. Requires: count >= 1; at most keep_at_least was called before.
  void keep_most_likely(std::int64_t count);
  // The shortest head of the order (logit descending, token ascending) that has this share of the weight kept so far.
  void keep_head(float share);

  // The token, of those kept, at which the running sum of their weights passes `share` of the sum of all; share in [0, 1). The last call.
  [[nodiscard]] TokenId draw(double share);

 private:
  struct Candidate {
    float logit, weight;
    TokenId token;
    // The order of tokens.
    bool operator<(const Candidate& other) const { return logit != other.logit ? logit > other.logit : token < other.token; }
  };

  [[nodiscard]] bool try_cut(double target, Measure measure);
  void take_census(const BitRange& range, std::size_t inside_max);
  void shorten_inside(double target, Measure measure);
  void sort_few(std::span<const std::int32_t> places);
  [[nodiscard]] float weight_of(TokenId token) const { return weights_[static_cast<std::size_t>(token)]; }
  [[nodiscard]] TokenId draw_in_block(std::size_t block, double target) const;

  const Kernels* kernels_;
  std::span<const float> logits_;  // [vocab]
  std::vector<float> weights_;     // [vocab]
  // Kept are all that weigh bound_ or more, and of the lighter ones those in inside_.
  float bound_ = 0;
  Census census_;  // of inside_range_, whose upper end is bound_
  BitRange inside_range_{};
  std::vector<double> block_sums_;    // [blocks of the vocabulary] weights of at least bound_
  std::vector<TokenId> inside_room_;  // [vocab + kLanes]
  std::span<TokenId> inside_;         // ascending; in inside_room_
  // Scratch of shorten_inside:
  std::vector<float> inside_weights_;   // [inside_]
  std::vector<double> inside_sums_;     // [blocks of inside_]
  std::vector<std::int32_t> few_room_;  // [inside_ + kLanes] places in inside_
  std::vector<Candidate> candidates_;   // of these places
};

}  // namespace slora::cpu
