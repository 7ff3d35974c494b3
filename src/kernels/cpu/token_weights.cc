#include "kernels/cpu/token_weights.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "kernels/cpu/simd.h"

namespace slora::cpu {
namespace {

constexpr std::int64_t kListed = 8192;                   // tokens that are worth a list of their own
constexpr std::int64_t kSorted = 32;                     // that are put in order rather than counted once more
const std::uint32_t kAboveAll = bits_of_weight(1.125f);  // the heaviest weigh 1

std::size_t block_count(std::size_t count) { return (count + kWeightBlock - 1) / kWeightBlock; }

}  // namespace

void TokenWeights::reserve(std::size_t vocab_size) {
  weights_.reserve(vocab_size);
  block_sums_.reserve(block_count(vocab_size));
  inside_room_.reserve(vocab_size + kLanes);
  // As many only when all of a row are alike.
  inside_weights_.reserve(vocab_size);
  inside_sums_.reserve(block_count(vocab_size));
  few_room_.reserve(vocab_size + kLanes);
  candidates_.reserve(vocab_size);
}

void TokenWeights::weigh(std::span<const float> logits, float highest, float temperature) {
  const std::size_t size = logits.size();
  logits_ = logits;
  weights_.resize(size);
  block_sums_.resize(block_count(size));
  inside_room_.resize(size + kLanes);
  inside_ = {};
  bound_ = weight_of_bits(kLowestWeightBits);
  census_ = {};
  census_.above_sum =
      kernels_->exp_weights(weights_.data(), block_sums_.data(), logits.data(), std::ssize(logits), highest, 1.0f / temperature);
  census_.above_count = std::ssize(logits);  // at most: some may be too light to have a weight
}

void TokenWeights::keep_at_least(float weight) {
  const std::uint32_t bits = bits_of_weight(std::min(weight, 1.0f));
  take_census({bits, bits}, 0);
}

void TokenWeights::keep_most_likely(std::int64_t count) {
  if (count < census_.above_count && try_cut(static_cast<double>(count), Measure::count)) {
    shorten_inside(static_cast<double>(count - census_.above_count), Measure::count);
  }
}

void TokenWeights::keep_head(float share) {
  double total = census_.above_sum;
  for (const TokenId token : inside_) total += static_cast<double>(weight_of(token));
  // One token stays, whatever the share.
  const double target = std::max(static_cast<double>(share) * total, std::numeric_limits<double>::min());
  if (target > census_.above_sum || try_cut(target, Measure::weight)) shorten_inside(target - census_.above_sum, Measure::weight);
}

// Raises bound_ to where what is above measures less than `target`, with the few lighter tokens inside that reach it. False, and nothing
// is cut off, when all that is above measures less than `target`.
bool TokenWeights::try_cut(double target, Measure measure) {
  const BitRange all{bits_of_weight(bound_), kAboveAll};
  const double total = above(census_, measure);
  const bool is_short = std::ssize(weights_) <= kListed;
  const CutGuess guess = is_short ? CutGuess{all, true} : guess_cut(weights_, all.low, target, total, measure, kListed);
  bool may_be_few = guess.is_few;
  const auto found = find_cut(target, measure, all, total, guess.range, kListed, [&](const BitRange& range) {
    if (!std::exchange(may_be_few, true)) {  // no list, for one that is short after all
      take_census(range, 0);
      if (census_.inside_count > kListed) return census_;
    }
    take_census(range, range.width() == 1 ? weights_.size() : static_cast<std::size_t>(kListed));
    return census_;
  });
  if (!found) take_census({all.low, all.low}, 0);
  return found.has_value();
}

void TokenWeights::take_census(const BitRange& range, std::size_t inside_max) {
  inside_range_ = range;
  bound_ = weight_of_bits(range.high);
  census_ = kernels_->take_census(block_sums_.data(), inside_room_.data(), static_cast<std::int64_t>(inside_max), weights_.data(),
                                  std::ssize(weights_), {weight_of_bits(range.low), bound_});
  inside_ = std::span(inside_room_).first(std::min(static_cast<std::size_t>(census_.inside_count), inside_max));
}

// Leaves inside the shortest head of the order that measures `target`; by count, with all that are as likely as its last.
void TokenWeights::shorten_inside(double target, Measure measure) {
  if (inside_.empty()) return;  // only rounding kept what is above below the target
  const std::size_t size = inside_.size();
  inside_weights_.resize(size);
  std::ranges::transform(inside_, inside_weights_.begin(), [&](TokenId token) { return weight_of(token); });
  inside_sums_.resize(block_count(size));
  few_room_.resize(size + kLanes);
  BitRange last{};
  const double total = inside(census_, measure);
  const auto found = find_cut(target, measure, inside_range_, total, inside_range_, kSorted, [&](const BitRange& range) {
    last = range;
    return kernels_->take_census(inside_sums_.data(), few_room_.data(), static_cast<std::int64_t>(size), inside_weights_.data(),
                                 static_cast<std::int64_t>(size), {weight_of_bits(range.low), weight_of_bits(range.high)});
  });
  if (!found) return;  // all of them fall short of it, by rounding
  sort_few(std::span(few_room_).first(static_cast<std::size_t>(found->inside_count)));
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

// Puts the tokens at these places of inside_ in order, into candidates_.
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
  std::size_t last = 0;  // block that has a weight
  for (std::size_t block = 0; block < block_sums_.size(); ++block) {
    if (block_sums_[block] == 0) continue;
    if (before + block_sums_[block] > target) return draw_in_block(block, target - before);
    before += block_sums_[block];
    last = block;
  }
  return draw_in_block(last, total);  // rounded up to all of it
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
