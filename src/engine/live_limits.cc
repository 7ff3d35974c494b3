#include "engine/live_limits.h"

#include <algorithm>

namespace slora {

// Counts may fall meanwhile, but rise only here, so what is accepted stays within the limits.
Result<LiveLimits::Place> LiveLimits::try_take(ClientId client, std::size_t prompt_tokens) {
  const std::lock_guard lock(mutex_);
  if (Status fits = check_all(1, prompt_tokens); !fits) return forward_error(fits);
  if (clients_.size() >= clients_max_) forget_idle_clients();
  Count& own = clients_[client];
  if (Status fits = check_own(own, 1, prompt_tokens); !fits) return forward_error(fits);
  return Place(all_, own, prompt_tokens);
}

Status LiveLimits::check(ClientId client, std::size_t sequences, std::size_t prompt_tokens) {
  const std::lock_guard lock(mutex_);
  if (Status fits = check_all(sequences, prompt_tokens); !fits) return fits;
  const auto own = clients_.find(client);
  return own == clients_.end() ? check_own({}, sequences, prompt_tokens) : check_own(own->second, sequences, prompt_tokens);
}

// Before the last of them the others are there already.
Status LiveLimits::check_own(const Count& own, std::size_t sequences, std::size_t prompt_tokens) const {
  const std::size_t others = sequences - 1;
  const std::size_t own_sequences = own.sequences.load(std::memory_order_acquire) + others;
  if (!options_.client_sequences_max || own_sequences == 0) return {};
  const std::size_t free_sequences = options_.sequences_max - std::min(sequence_count() + others, options_.sequences_max);
  if (own_sequences >= std::min(*options_.client_sequences_max, free_sequences)) {
    return error("client_queue_full",
                 "This client has {} sequences that run or wait, and may have {} at most, or as many as are free for others (now {}); "
                 "try again when some have ended.",
                 own_sequences, *options_.client_sequences_max, free_sequences);
  }
  const std::size_t own_tokens = own.tokens.load(std::memory_order_relaxed);
  const std::size_t free_tokens = options_.tokens_max - std::min(token_count(), options_.tokens_max);
  if (own_tokens + prompt_tokens <= free_tokens) return {};
  return error("client_queue_full",
               "This client has prompts of {} tokens that run or wait, and {} more would exceed what is free for others (now {} tokens); "
               "try again when some have ended.",
               own_tokens, prompt_tokens, free_tokens);
}

Status LiveLimits::check_all(std::size_t sequences, std::size_t prompt_tokens) const {
  if (sequence_count() + sequences > options_.sequences_max)
    return error("queue_full", "{} sequences are running or waiting, of {} at most; try again later.", sequence_count(),
                 options_.sequences_max);
  const std::size_t tokens = token_count();
  if (tokens + prompt_tokens <= options_.tokens_max) return {};
  return error("queue_full",
               "The prompts that are running or waiting hold {} tokens, {} more would exceed the limit of {}; try again later.", tokens,
               prompt_tokens, options_.tokens_max);
}

// At most one count per sequence stays, so the table is bounded and the work of clearing it up is spread over as many calls.
void LiveLimits::forget_idle_clients() {
  std::erase_if(clients_, [](const auto& entry) { return entry.second.sequences.load(std::memory_order_acquire) == 0; });
  clients_max_ = 2 * clients_.size() + 64;
}

}  // namespace slora
