#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"

namespace slora {

struct TokenBias {
  TokenId token;
  float bias;
};
struct TokenCount {
  TokenId token;
  std::int32_t count;
};

// How the tokens of one request are drawn, from the API to the kernels. Values are validated by the API; below it nobody checks them again.
// Kernels apply them in vLLM's order: bias, penalties, temperature, min-p, top-k, top-p, draw.
struct SamplingParams {
  float temperature = 1;  // 0: greedy
  float top_p = 1;
  std::int32_t top_k = 0;  // 0: all
  float min_p = 0;
  float repetition_penalty = 1;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  std::uint64_t seed = 0;
  std::vector<TokenBias> logit_bias{};
  std::int32_t logprob_count = -1;         // -1: none; n: the drawn token's and the n most likely tokens'
  std::int32_t prompt_logprob_count = -1;  // -1: none; n: each prompt token's own and the n most likely tokens' at its position
  std::int32_t min_tokens = 0;             // end tokens are not drawn before this many
  std::vector<TokenId> end_tokens{};       // drawing one ends the sequence: the model's and the request's (empty with ignore_eos)

  [[nodiscard]] bool penalises_repetition() const { return repetition_penalty != 1; }
  [[nodiscard]] bool penalises_presence() const { return presence_penalty != 0 || frequency_penalty != 0; }
};

// One row of logits to draw a token from: the parameters and the state of its sequence. Everything is borrowed.
struct SampleRow {
  const SamplingParams* params = nullptr;       // never null when it reaches an op
  std::uint32_t choice = 0;                     // which of the request's n choices
  std::uint32_t position = 0;                   // tokens drawn before; random numbers are keyed by (seed, choice, position)
  std::span<const TokenCount> output_counts{};  // tokens drawn so far, sorted by token; may be empty when no penalty needs them
  std::span<const TokenId> prompt_tokens{};     // distinct tokens of the prompt, sorted; may be empty without a repetition penalty
  std::span<const TokenId> banned{};            // never drawn (end tokens before min_tokens)
};

// One row of logits to look up the likelihood of a known token in.
struct ScoreRow {
  TokenId token = -1;
  std::int32_t logprob_count = 0;  // of the most likely tokens, in addition to the token's own
};

}  // namespace slora
