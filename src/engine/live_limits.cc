#include "engine/live_limits.h"

#include <algorithm>

namespace slora {

// Other threads may give places back at any time, but places are only taken under the mutex: what was checked still holds when it is taken.
Result<LiveLimits::Place> LiveLimits::try_take(ClientId client, std::size_t prompt_tokens) {
  const QueueDemand demand{.sequences = 1, .prompt_tokens = prompt_tokens, .last_prompt_tokens = prompt_tokens};
  if (Status fits = check_alone(demand); !fits) return forward_error(fits);
  const std::lock_guard lock(mutex_);
  if (Status fits = check_all(demand); !fits) return forward_error(fits);
  if (clients_.size() >= clients_max_) forget_idle_clients();
  Count& own = clients_[client];
  if (Status fits = check_own(own, demand); !fits) return forward_error(fits);
  return Place(all_, own, prompt_tokens);
}

Status LiveLimits::check(ClientId client, const QueueDemand& demand) {
  if (Status fits = check_alone(demand); !fits) return fits;
  const std::lock_guard lock(mutex_);
  if (Status fits = check_all(demand); !fits) return fits;
  const auto own = clients_.find(client);
  return own == clients_.end() ? check_own({}, demand) : check_own(own->second, demand);
}

// check_all() and check_own() solved for the most that they accept when all counts are zero.
Status LiveLimits::check_alone(const QueueDemand& demand) const {
  std::size_t sequences_max = options_.sequences_max, tokens_max = options_.tokens_max;
  if (options_.client_sequences_max && demand.sequences > 1) {
    sequences_max = std::max<std::size_t>(std::min(*options_.client_sequences_max, (sequences_max + 1) / 2), 1);
    tokens_max = (tokens_max + demand.last_prompt_tokens) / 2;
  }
  if (demand.sequences > sequences_max)
    return error("too_many_sequences", "expected at most {} sequences in one request, found {}", sequences_max, demand.sequences);
  if (demand.prompt_tokens <= tokens_max) return {};
  return error("too_many_prompt_tokens", "expected prompts of at most {} tokens in all {} sequences of the request together, found {}",
               tokens_max, demand.sequences, demand.prompt_tokens);
}

// The limits of a client depend on what it has already, so the last sequence decides: before it the others have been taken.
Status LiveLimits::check_own(const Count& own, const QueueDemand& demand) const {
  const std::size_t others = demand.sequences - 1, tokens_of_others = demand.prompt_tokens - demand.last_prompt_tokens;
  const std::size_t own_sequences = own.sequences.load(std::memory_order_acquire);
  if (!options_.client_sequences_max || own_sequences + others == 0) return {};
  const auto free_of = [](std::size_t most, std::size_t taken) { return most - std::min(taken, most); };
  const std::size_t sequences_then = free_of(options_.sequences_max, sequence_count() + others);
  if (own_sequences + others >= std::min(*options_.client_sequences_max, sequences_then)) {
    return error(
        "client_queue_full",
        "This client has {} sequences that run or wait, and requests {} more; it may have {} at most, and no more than are free for "
        "others (now {}); try again when some have ended.",
        own_sequences, demand.sequences, *options_.client_sequences_max, free_of(options_.sequences_max, sequence_count()));
  }
  const std::size_t own_tokens = own.tokens.load(std::memory_order_relaxed);
  if (own_tokens + demand.prompt_tokens <= free_of(options_.tokens_max, token_count() + tokens_of_others)) return {};
  return error("client_queue_full",
               "This client has prompts of {} tokens that run or wait, and {} more would exceed what is free for others (now {} tokens); "
               "try again when some have ended.",
               own_tokens, demand.prompt_tokens, free_of(options_.tokens_max, token_count()));
}

Status LiveLimits::check_all(const QueueDemand& demand) const {
  if (sequence_count() + demand.sequences > options_.sequences_max)
    return error("queue_full", "{} sequences are running or waiting, and {} more would exceed the limit of {}; try again later.",
                 sequence_count(), demand.sequences, options_.sequences_max);
  const std::size_t tokens = token_count();
  if (tokens + demand.prompt_tokens <= options_.tokens_max) return {};
  return error("queue_full",
               "The prompts that are running or waiting hold {} tokens, {} more would exceed the limit of {}; try again later.", tokens,
               demand.prompt_tokens, options_.tokens_max);
}

// At most one count per sequence stays, so the table is bounded and the work of clearing it up is spread over as many calls.
void LiveLimits::forget_idle_clients() {
  std::erase_if(clients_, [](const auto& entry) { return entry.second.sequences.load(std::memory_order_acquire) == 0; });
  clients_max_ = 2 * clients_.size() + 64;
}

}  // namespace slora
