#include "kernels/cpu/token_weights.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "kernels/cpu/simd.h"

namespace slora::cpu {
namespace {

constexpr std::int64_t kListed = 8192;                   // a range of at most this many tokens is listed in inside_
constexpr std::int64_t kSorted = 32;                     // this few tokens are sorted instead of being counted once more
const std::uint32_t kAboveAll = bits_of_weight(1.125f);  // above the heaviest tokens, of weight 1

}  // namespace

void TokenWeights::reserve(std::size_t vocab_size) {
  weights_.reserve(vocab_size);
  block_sums_.reserve(weight_block_count(vocab_size));
  inside_buffer_.reserve(vocab_size + kLanes);
  // The whole vocabulary is needed here only if all logits of a row are equal.
  inside_weights_.reserve(vocab_size);
  inside_sums_.reserve(weight_block_count(vocab_size));
  few_buffer_.reserve(vocab_size + kLanes);
  candidates_.reserve(vocab_size);
}

void TokenWeights::weigh(std::span<const float> logits, float highest, float temperature) {
  const std::size_t size = logits.size();
  logits_ = logits;
  weights_.resize(size);
  block_sums_.resize(weight_block_count(size));
  inside_buffer_.resize(size + kLanes);
  inside_ = {};
  bound_ = weight_of_bits(kLowestWeightBits);
  measured_ = {};
  measured_.above_sum =
      kernels_->exp_weights(weights_.data(), block_sums_.data(), logits.data(), std::ssize(logits), highest, 1.0f / temperature);
  measured_.above_count = std::ssize(logits);  // an upper bound: some weights may be 0
}

void TokenWeights::keep_at_least(float weight) {
  const std::uint32_t bits = bits_of_weight(std::min(weight, 1.0f));
  measure_range({bits, bits}, 0);
}

void TokenWeights::keep_most_likely(std::int64_t count) {
  if (count < measured_.above_count && try_cut(static_cast<double>(count), Measure::count)) {
    shorten_inside(static_cast<double>(count - measured_.above_count), Measure::count);
  }
}

void TokenWeights::keep_head(float share) {
  double total = measured_.above_sum;
  for (const TokenId token : inside_) total += static_cast<double>(weight_of(token));
  // At least one token stays, even for a share of 0.
  const double target = std::max(static_cast<double>(share) * total, std::numeric_limits<double>::min());
  if (target > measured_.above_sum || try_cut(target, Measure::weight)) shorten_inside(target - measured_.above_sum, Measure::weight);
}

// Raises bound_ until the tokens above it stay below `target`, and lists in inside_ the few lighter ones with which they reach it. Returns
// false and cuts nothing off if the tokens above the current bound_ stay below `target`.
bool TokenWeights::try_cut(double target, Measure measure) {
  const BitRange all{bits_of_weight(bound_), kAboveAll};
  const double total = above(measured_, measure);
  const bool is_short = std::ssize(weights_) <= kListed;
  const CutGuess guess = is_short ? CutGuess{all, true} : guess_cut(weights_, all.low, target, total, measure, kListed);
  bool may_be_few = guess.is_few;
  const auto found = find_cut(target, measure, all, total, guess.range, kListed, [&](const BitRange& range) {
    if (!std::exchange(may_be_few, true)) {  // measure without listing first: the range may hold too many
      measure_range(range, 0);
      if (measured_.inside_count > kListed) return measured_;
    }
    measure_range(range, range.width() == 1 ? weights_.size() : static_cast<std::size_t>(kListed));
    return measured_;
  });
  if (!found) measure_range({all.low, all.low}, 0);
  return found.has_value();
}

void TokenWeights::measure_range(const BitRange& range, std::size_t inside_max) {
  inside_range_ = range;
  bound_ = weight_of_bits(range.high);
  measured_ = kernels_->measure_range(block_sums_.data(), inside_buffer_.data(), static_cast<std::int64_t>(inside_max), weights_.data(),
                                      std::ssize(weights_), {weight_of_bits(range.low), bound_});
  inside_ = std::span(inside_buffer_).first(std::min(static_cast<std::size_t>(measured_.inside_count), inside_max));
}

// Shortens inside_ to the shortest prefix of the order that reaches `target`; if measured by count, with all tokens that are as likely as
// its last.
void TokenWeights::shorten_inside(double target, Measure measure) {
  if (inside_.empty()) return;  // the tokens above stay below the target only by rounding
  const std::size_t size = inside_.size();
  inside_weights_.resize(size);
  std::ranges::transform(inside_, inside_weights_.begin(), [&](TokenId token) { return weight_of(token); });
  inside_sums_.resize(weight_block_count(size));
  few_buffer_.resize(size + kLanes);
  BitRange last{};
  const double total = inside(measured_, measure);
  const auto found = find_cut(target, measure, inside_range_, total, inside_range_, kSorted, [&](const BitRange& range) {
    last = range;
    return kernels_->measure_range(inside_sums_.data(), few_buffer_.data(), static_cast<std::int64_t>(size), inside_weights_.data(),
                                   static_cast<std::int64_t>(size), {weight_of_bits(range.low), weight_of_bits(range.high)});
  });
  if (!found) return;  // together they stay below the target, by rounding: keep all
  sort_few(std::span(few_buffer_).first(static_cast<std::size_t>(found->inside_count)));
  double reached = above(*found, measure);
  std::size_t kept = 0;
  for (; kept < candidates_.size(); ++kept) {
    const bool is_tie = measure == Measure::count && kept > 0 && candidates_[kept].logit == candidates_[kept - 1].logit;
    if (reached >= target && !is_tie) break;
    reached += measure == Measure::weight ? static_cast<double>(candidates_[kept].weight) : 1.0;
  }
  candidates_.resize(kept);
  if (!std::ranges::is_sorted(candidates_, {}, &Candidate::token)) std::ranges::sort(candidates_, {}, &Candidate::token);

  auto next = candidates_.begin();
  std::size_t end = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const bool is_kept = next != candidates_.end() && next->token == inside_[i];
    if (is_kept) ++next;
    if (is_kept || inside_weights_[i] >= weight_of_bits(last.high)) inside_[end++] = inside_[i];
  }
  inside_ = inside_.first(end);
}

// Sorts the tokens at these indices of inside_ into candidates_.
void TokenWeights::sort_few(std::span<const std::int32_t> places) {
  candidates_.clear();
  for (const std::int32_t place : places) {
    const TokenId token = inside_[static_cast<std::size_t>(place)];
    candidates_.push_back({logits_[static_cast<std::size_t>(token)], weight_of(token), token});
  }
  if (!std::is_sorted(candidates_.begin(), candidates_.end())) std::sort(candidates_.begin(), candidates_.end());
}

TokenId TokenWeights::draw(double share) {
  for (const TokenId token : inside_) block_sums_[static_cast<std::size_t>(token) / kWeightBlock] += static_cast<double>(weight_of(token));
  double total = 0;
  for (const double sum : block_sums_) total += sum;
  const double target = share * total;
  double before = 0;
  std::size_t last = 0;  // the last block with a weight
  for (std::size_t block = 0; block < block_sums_.size(); ++block) {
    if (block_sums_[block] == 0) continue;
    if (before + block_sums_[block] > target) return draw_in_block(block, target - before);
    before += block_sums_[block];
    last = block;
  }
  return draw_in_block(last, total);  // the target was rounded up to the whole sum
}

// The token of the block at which the running sum of the kept weights passes the target, or the last kept one.
TokenId TokenWeights::draw_in_block(std::size_t block, double target) const {
  const auto begin = static_cast<TokenId>(block * kWeightBlock);
  const auto end = static_cast<TokenId>(std::min(weights_.size(), (block + 1) * kWeightBlock));
  auto inside = std::ranges::lower_bound(inside_, begin);
  double sum = 0;
  TokenId last = begin;
  for (TokenId token = begin; token < end; ++token) {
    const bool is_inside = inside != inside_.end() && *inside == token;
    inside += is_inside ? 1 : 0;
    if (!is_inside && weight_of(token) < bound_) continue;
    last = token;
    sum += static_cast<double>(weight_of(token));
    if (sum > target) break;
  }
  return last;
}

}  // namespace slora::cpu
