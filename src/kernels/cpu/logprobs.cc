#include "kernels/cpu/logprobs.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/reference/logprobs.h"

namespace slora::cpu {

double log_sum_exp(const Kernels& kernels, std::span<float> weights, std::span<const float> logits) {
  const auto size = static_cast<std::int64_t>(logits.size());
  const float highest = kernels.maximum(logits.data(), size);
  const double total = kernels.exp_weights(weights.data(), logits.data(), size, highest, 1.0f);
  return static_cast<double>(highest) + std::log(total);
}

void find_most_likely(std::vector<TokenLogprob>& out, std::vector<TokenId>& best, std::span<const float> logits, double normaliser,
                      std::int32_t count) {
  // A heap of the best so far, the worst of them in front.
  const Order better{logits};
  best.clear();
  for (TokenId token = 0; token < std::ssize(logits) && count > 0; ++token) {
    const float logit = logits[static_cast<std::size_t>(token)];
    if (logit == -std::numeric_limits<float>::infinity()) continue;
    if (std::ssize(best) == count) {
      if (logit <= logits[static_cast<std::size_t>(best.front())]) continue;
      std::pop_heap(best.begin(), best.end(), better);
      best.pop_back();
    }
    best.push_back(token);
    std::push_heap(best.begin(), best.end(), better);
  }
  std::sort(best.begin(), best.end(), better);
  out.clear();
  out.reserve(best.size());
  for (const TokenId token : best) out.push_back({token, reference::logprob_of(token, logits, normaliser)});
}

}  // namespace slora::cpu
