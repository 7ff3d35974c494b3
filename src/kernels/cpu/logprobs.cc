#include "kernels/cpu/logprobs.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "kernels/reference/logprobs.h"

namespace slora::cpu {

void Logprobs::reserve(std::size_t vocab_size, std::int32_t count) {
  weights_.reserve(vocab_size);
  block_sums_.reserve(weight_block_count(vocab_size));
  found_.reserve(kWeightBlock);
  best_.reserve(std::min(vocab_size, static_cast<std::size_t>(count)));
}

void Logprobs::normalise(std::span<const float> logits, float highest) {
  logits_ = logits;
  weights_.resize(logits.size());
  block_sums_.resize(weight_block_count(logits.size()));
  const double total = kernels_->exp_weights(weights_.data(), block_sums_.data(), logits.data(), std::ssize(logits), highest, 1.0f);
  normaliser_ = static_cast<double>(highest) + std::log(total);
}

float Logprobs::of(TokenId token) const { return reference::logprob_of(token, logits_, normaliser_); }

std::int32_t Logprobs::rank_of(TokenId token) const {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const auto at = static_cast<std::size_t>(token);
  const float own = logits_[at];
  if (own == -kInfinity) return reference::rank_of(token, logits_);
  const auto count_above = [&](std::span<const float> logits, float bound) {
    return kernels_->count_above(logits.data(), std::ssize(logits), bound);
  };
  const std::int64_t before = count_above(logits_.first(at), std::nextafter(own, -kInfinity));  // counts equal logits too
  return static_cast<std::int32_t>(before + count_above(logits_.subspan(at), own)) + 1;
}

void Logprobs::find_most_likely(TokenResult& out, std::int32_t count) {
  check(count <= kTopTokensMax, "expected at most kTopTokensMax of the most likely tokens to be requested");
  out.top_count = 0;
  if (count <= 0) return;
  const auto better = [&](TokenId a, TokenId b) {
    const float x = logits_[static_cast<std::size_t>(a)];
    const float y = logits_[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  };
  // A heap of the best tokens so far, the worst of them at the front; of each block only the tokens above it are examined.
  found_.resize(kWeightBlock);
  best_.clear();
  float bound = -std::numeric_limits<float>::infinity();
  for (std::int64_t begin = 0; begin < std::ssize(logits_); begin += kWeightBlock) {
    const std::int64_t block = std::min(kWeightBlock, std::ssize(logits_) - begin);
    const std::int64_t found = kernels_->find_above(found_.data(), logits_.data() + begin, block, bound);
    for (const TokenId place : std::span(found_).first(static_cast<std::size_t>(found))) {
      const auto token = static_cast<TokenId>(begin + place);
      if (std::ssize(best_) == count) {
        if (!better(token, best_.front())) continue;
        std::ranges::pop_heap(best_, better);
        best_.pop_back();
      }
      best_.push_back(token);
      std::ranges::push_heap(best_, better);
    }
    if (std::ssize(best_) == count) bound = logits_[static_cast<std::size_t>(best_.front())];
  }
  std::ranges::sort(best_, better);
  for (const TokenId token : best_) out.top[out.top_count++] = {token, of(token)};
}

}  // namespace slora::cpu
