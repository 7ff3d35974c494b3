#pragma once
#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/shared_image.h"

namespace slora {

inline constexpr Timestamp kNoDeadline = Timestamp::max();

// What the prompt is for. A scored one has its log-probabilities computed too, and of a pooled one every hidden state is read, so all of it
// is computed: its prefixes are stored for others, but none is read.
enum class PromptUse : std::uint8_t { continued, scored, pooled };

// Whether a plan may assume that a sequence continues while its latest token is not known yet (SchedulerOptions::depth), or has to wait for
// the token.
enum class Continuation : std::uint8_t { assumed, known };

// What the scheduler needs to know of one token stream. Built by the engine, const afterwards.
struct SequenceRequest {
  SequenceId id;
  TenantId tenant;            // only its own cached prefixes are read
  ClientId client;            // is charged
  std::int32_t priority = 0;  // lower is served earlier, by a policy that follows priorities (Policy::follows_priority)
  Timestamp arrival{};
  Timestamp deadline = kNoDeadline;  // of its first token; only policies look at it
  std::vector<TokenId> prompt;       // [1..]
  std::int32_t output_tokens_max = 1;
  AdapterId adapter = kNoAdapter;             // the exact content; prefixes are never shared between different ones
  std::uint32_t adapter_page_count = 0;       // its own
  std::vector<SharedImage> adapter_shared{};  // images that it needs besides
  std::int32_t adapter_begin = 0;             // the first position at which it acts; before, the base model's prefixes are read and stored
  PromptUse prompt_use = PromptUse::continued;
  Continuation continuation = Continuation::assumed;
};

enum class EndReason : std::uint8_t {
  stop,            // the sampler drew an end token
  complete,        // its last token completed the form that the answer has, after which nothing may follow
  length,          // output_tokens_max reached
  cancelled,       // by the client or the operator
  adapter_failed,  // its adapter could not be loaded
  failed,          // its own part of a step failed (no finite logits, for example)
  given_up,        // dropped in the queue by the policy
};

// Reported exactly once for every sequence that was added.
struct SequenceEnd {
  SequenceId id;
  EndReason reason;
};

}  // namespace slora
