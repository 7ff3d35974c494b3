#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"

namespace slora {

struct TokenCount {
  TokenId token;
  std::int32_t count;
};
struct TokenBias {
  TokenId token;
  float bias;
};
struct TokenLogprob {
  TokenId token;
  float logprob;
};

// How one row of logits becomes a token. Order as vLLM: bias, penalties, temperature, min-p, top-k, top-p, draw.
struct SampleRow {
  float temperature = 1;  // 0: greedy
  float top_p = 1;
  std::int32_t top_k = 0;  // 0: all
  float min_p = 0;
  float repetition_penalty = 1;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  std::uint64_t seed = 0;
  std::uint32_t choice = 0;
  std::uint32_t position = 0;                 // draws are keyed by (seed, choice, position)
  std::span<const TokenCount> output_counts;  // tokens generated so far, sorted by token
  std::span<const TokenId> prompt_tokens;     // distinct tokens of the prompt, sorted (repetition penalty counts them too)
  std::span<const TokenBias> logit_bias;
  std::span<const TokenId> banned;  // never drawn (min_tokens bans end tokens)
  std::int32_t logprob_count = -1;  // -1: none; n: the chosen token's and the n most likely
};

// `logprob` and `top` are of the model's own distribution, before bias, penalties and temperature, as vLLM's default
// ("raw_logprobs"). `token` is -1 when no logit that may be drawn is finite.
struct SampledToken {
  TokenId token = -1;
  float logprob = 0;
  std::vector<TokenLogprob> top;  // most likely first
};

}  // namespace slora
