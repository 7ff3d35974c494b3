#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "memory/adapter_cache.h"
#include "memory/page_budget.h"
#include "memory/page_pool.h"
#include "memory/prefix_index.h"
#include "scheduler/computed_tokens.h"
#include "scheduler/request.h"

namespace slora {

enum class SequenceState : std::uint8_t { waiting, preempted, running };

// Whose prefixes a sequence reads and stores.
[[nodiscard]] inline PrefixDomain domain_of(const SequenceRequest& request) {
  return {request.tenant, request.adapter, request.adapter_begin};
}

// What of the pool its adapter takes; borrows from the request.
[[nodiscard]] inline AdapterNeeds needs_of(const SequenceRequest& request) {
  return {request.adapter, request.adapter_page_count, request.adapter_shared};
}

// Everything that an admitted sequence holds of the pool: its page table is the pinned prefix followed by its own pages.
struct Holdings {
  // Declared first, so destroyed last: a retired adapter drops its prefixes with its last hold, and they must be unpinned by then.
  AdapterHold adapter;
  PrefixPin prefix;
  PageList own;

  [[nodiscard]] std::uint32_t page_count() const { return prefix.size() + own.size(); }
  // In the order of destruction; the lists keep their capacity.
  void give_back() {
    own.give_back();
    prefix.give_back();
    adapter = {};
  }
};

// One token stream from add() to its end. Owned by the scheduler, on its thread.
struct Sequence {
  SequenceRequest request;   // its prompt has moved to `tokens`
  std::uint64_t serial = 0;  // order of add(): the lower, the older
  SequenceState state = SequenceState::waiting;
  AdapterHold interest;  // in its adapter, in addition to the pin of a running sequence

  std::vector<TokenId> tokens;  // prompt and the output that is known
  std::int32_t prompt_count = 0;
  std::int32_t planned = 0;        // tokens whose KV is or will be written by the plans made so far
  std::int32_t scored = 0;         // positions of the prompt that plans have scored
  std::int32_t pending_count = 0;  // tokens after `tokens` that uncommitted plans will yield
  std::int32_t pending_row = -1;   // output row of the last of them
  bool is_suspended = false;       // its latest row's outcome is not known
  std::uint64_t last_plan = 0;     // the latest plan with a span of it
  ComputedTokens computed;         // by plans since it came, those lost by preemption included
  std::int32_t preemption_count = 0;
  std::int32_t overtaken_count = 0;  // sequences that were admitted after it was tried and did not fit, in the same step
  std::int32_t cached_count = 0;     // tokens read from the prefix cache at the last admission
  Holdings holdings;
  PagePromise promise;  // pages that it may still take while it runs

  [[nodiscard]] std::int32_t known_count() const { return static_cast<std::int32_t>(tokens.size()); }
  [[nodiscard]] std::int32_t output_count() const { return known_count() - prompt_count + pending_count; }
  [[nodiscard]] std::int32_t tokens_max() const { return prompt_count + request.output_tokens_max; }
  // Tokens that are left to compute. The last output token is never computed, because nothing reads its KV.
  [[nodiscard]] std::int32_t uncomputed() const {
    if (output_count() >= request.output_tokens_max) return 0;
    return known_count() + pending_count - planned;
  }
  // Of these, those that can be computed now.
  [[nodiscard]] std::int32_t remaining() const {
    const bool waits_for_token = pending_count > 0 && request.continuation == Continuation::known;
    return is_suspended || waits_for_token ? 0 : uncomputed();
  }
};

}  // namespace slora
