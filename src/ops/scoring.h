#pragma once
#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "ops/sampling.h"

namespace slora {

// A known token whose likelihood under one row of logits is asked for.
struct ScoreRow {
  TokenId token = -1;
  std::int32_t logprob_count = 0;  // of the most likely tokens, beside its own
};

// What the model's own distribution, before temperature and penalties, said of one prompt token, given the tokens before it.
struct PromptLogprob {
  TokenId token = -1;
  float logprob = 0;
  std::int32_t rank = 0;          // its place among the vocabulary by likelihood, then token: 1 is the first; 0: no logit was finite
  std::vector<TokenLogprob> top;  // most likely first
};

}  // namespace slora
