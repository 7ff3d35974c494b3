#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "engine/shared_tokens.h"
#include "ops/pooling.h"
#include "ops/sampling.h"
#include "ops/token.h"
#include "scheduler/request.h"

namespace slora {

class AdapterVersion;
class CompiledConstraint;

// One sequence to generate. `id` is made by Engine::next_sequence_id, never by a client.
struct GenerationRequest {
  SequenceId id;
  TenantId tenant;
  ClientId client;
  std::int32_t priority = 0;
  Timestamp arrival{};               // of the client's request, on the steady clock; zero: when the engine takes it
  Timestamp deadline = kNoDeadline;  // on the steady clock; after it the answer is of no use. Only policies look at it
  SharedTokens prompt;               // [1..]
  std::int32_t output_tokens_max = 1;
  std::shared_ptr<const AdapterVersion> adapter;  // null: the base model
  std::int32_t adapter_begin = 0;                 // the position of the prompt from which on it acts
  SamplingParams sampling;
  Pooling pooling = Pooling::none;                       // of the prompt's embedding, which comes with the first token
  std::shared_ptr<const CompiledConstraint> constraint;  // the form of the answer; null: any
  std::uint32_t choice = 0;                              // which of the n choices of its request: they differ in what is drawn
};

// The places that a request needs among those in the engine, taken one after the other.
struct QueueDemand {
  std::size_t sequences = 1;           // at least one
  std::size_t prompt_tokens = 1;       // of all of them
  std::size_t last_prompt_tokens = 1;  // of the one that is taken last
};

// What happened to one sequence in one step: a token, an end, or both. The last event of a sequence, and only that, has `end`.
struct TokenEvent {
  SequenceId sequence;
  Token token;                                 // without an id: no token came with this event
  std::vector<PromptLogprob> prompt_logprobs;  // [prompt - 1], of the tokens from 1 on; in the event of the first token, if requested
  std::vector<float> embedding;                // [hidden] of the prompt; in the event of the first token, if requested
  std::optional<EndReason> end;
  std::string error_code, error_message;      // with EndReason::adapter_failed, failed and given_up
  std::int32_t cached_tokens = 0;             // prompt tokens that came from the prefix cache; in the event of the first token
  std::optional<float> adapter_load_seconds;  // of the load that the sequence waited for; in the event of the first token
  Timestamp started{};                        // when the sequence was first in a step; zero when it never was
};

}  // namespace slora
