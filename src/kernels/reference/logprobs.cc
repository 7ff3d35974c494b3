#include "kernels/reference/logprobs.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace slora::reference {

std::vector<TokenId> ordered_tokens(std::span<const float> logits) {
  std::vector<TokenId> tokens;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (std::isfinite(logits[i])) tokens.push_back(static_cast<TokenId>(i));
  }
  const auto logit_of = [&](TokenId token) { return logits[static_cast<std::size_t>(token)]; };
  std::stable_sort(tokens.begin(), tokens.end(), [&](TokenId a, TokenId b) { return logit_of(a) > logit_of(b); });
  return tokens;
}

std::int32_t rank_of(TokenId token, std::span<const float> logits) {
  const auto at = static_cast<std::size_t>(token);
  const float own = logits[at];
  const auto before = std::ranges::count_if(logits.first(at), [own](float logit) { return logit >= own; });
  const auto after = std::ranges::count_if(logits.subspan(at), [own](float logit) { return logit > own; });
  return static_cast<std::int32_t>(before + after) + 1;
}

double log_sum_exp(std::span<const float> logits) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - highest);
  return highest + std::log(sum);
}

void set_most_likely(TokenResult& out, std::span<const float> logits, double normaliser, std::int32_t count) {
  check(count <= kTopTokensMax, "expected at most kTopTokensMax of the most likely tokens to be requested");
  out.top_count = 0;
  if (count <= 0) return;
  for (const TokenId token : ordered_tokens(logits)) {
    out.top[out.top_count++] = {token, logprob_of(token, logits, normaliser)};
    if (out.top_count == count) break;
  }
}

}  // namespace slora::reference
