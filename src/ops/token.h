#pragma once
#include <cstdint>
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

// A token of a prompt, given the tokens before it.
struct PromptLogprob {
  Token token;
  std::int32_t rank = 0;  // among the whole vocabulary by logprob, then id: 1 is the most likely; 0: no logit was finite
};

}  // namespace slora
