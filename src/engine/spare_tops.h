#pragma once
#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "ops/token.h"

namespace slora {

// Makes tokens of results, with the memory of tokens that their consumer is done with: a step allocates nothing when its consumer gives
// them back. Owned by the engine's loop, used on its thread.
class SpareTops {
 public:
  explicit SpareTops(std::size_t count_max) : count_max_(count_max) { spare_.reserve(count_max); }

  [[nodiscard]] Token token_of(const TokenResult& result) {
    Token token{.id = result.id, .logprob = result.logprob, .top = {}};
    if (result.top_count == 0) return token;
    if (!spare_.empty()) {
      token.top = std::move(spare_.back());
      spare_.pop_back();
    }
    token.top.assign(result.top_tokens().begin(), result.top_tokens().end());
    return token;
  }
  void recycle(Token& token) {
    if (token.top.capacity() > 0 && spare_.size() < count_max_) spare_.push_back(std::move(token.top));
  }

 private:
  const std::size_t count_max_;
  std::vector<std::vector<TokenLogprob>> spare_;
};

}  // namespace slora
