#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/op_args.h"
#include "base/clock.h"
#include "base/ids.h"
#include "scheduler/request.h"

namespace slora {

class AdapterVersion;

// How tokens are drawn for one sequence. Ranges are the validator's business; the engine takes them as they are.
struct SamplingParams {
  float temperature = 1;  // 0: greedy
  float top_p = 1;
  std::int32_t top_k = 0;  // 0: all
  float min_p = 0;
  float repetition_penalty = 1;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  std::uint64_t seed = 0;
  std::uint32_t choice = 0;  // which of n
  std::vector<TokenBias> logit_bias;
  std::int32_t logprob_count = -1;         // -1: none; 0: the chosen token's; n: and the n most likely
  std::int32_t prompt_logprob_count = -1;  // -1: none; 0: each prompt token's own; n: and the n most likely in its place
  std::int32_t min_tokens = 0;             // end tokens are not drawn before
  std::vector<TokenId> end_tokens;         // ending the sequence when drawn: the model's and the request's (empty with ignore_eos)
};

// One sequence to generate. `id` is made by Engine::next_sequence_id, never by a client.
struct GenerationRequest {
  SequenceId id;
  TenantId tenant;
  std::int32_t priority = 0;
  std::vector<TokenId> prompt;  // [1..]
  std::int32_t output_tokens_max = 1;
  std::shared_ptr<const AdapterVersion> adapter;  // null: the base model
  SamplingParams sampling;
};

// What happened to one sequence in one step: a token, an end, or both. The last event of a sequence, and only that, has `end`.
struct TokenEvent {
  SequenceId sequence;
  TokenId token = -1;  // -1: no token came with this event
  float logprob = 0;
  std::vector<TokenLogprob> top;
  std::vector<PromptLogprob> prompt_logprobs;  // [prompt - 1], of the tokens at 1 and on; in the event of the first token, if asked for
  std::optional<EndReason> end;
  std::string error_code, error_message;  // with EndReason::adapter_failed and failed
  std::int32_t cached_tokens = 0;         // prompt tokens that came from the prefix cache; in the event of the first token
  Timestamp started{};                    // when the sequence was first in a step; zero when it never was
};

}  // namespace slora
