#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"

namespace slora {

struct TokenLogprob {
  TokenId token;
  float logprob;
};

// A token and its log-probability in the model's own distribution: before bias, penalties and temperature, as vLLM's default
// ("raw_logprobs"). The same type from the op that draws it to the answer that shows it.
struct Token {
  TokenId id = -1;                // -1: none
  float logprob = 0;              // 0 if not requested
  std::vector<TokenLogprob> top;  // the most likely tokens at this position, most likely first
};

// The most likely tokens that an op reports of a row; requests may ask for fewer.
inline constexpr std::int32_t kTopTokensMax = 32;

// What an op finds out about one row of logits, in device memory. A fixed size, so that a device can fill it.
struct TokenResult {
  TokenId id = -1;        // -1: no logit was finite
  float logprob = 0;      // 0 if not requested
  std::int32_t rank = 0;  // of a scored token, as in PromptLogprob; 0 otherwise
  std::int32_t top_count = 0;
  TokenLogprob top[kTopTokensMax];  // the first top_count: the most likely tokens, most likely first

  [[nodiscard]] std::span<const TokenLogprob> top_tokens() const { return {top, static_cast<std::size_t>(top_count)}; }
};

// A token of a prompt, given the tokens before it.
struct PromptLogprob {
  Token token;
  std::int32_t rank = 0;  // among the whole vocabulary by logprob, then id: 1 is the most likely; 0: no logit was finite
};

}  // namespace slora
