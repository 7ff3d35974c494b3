#pragma once
#include <atomic>
#include <cstddef>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/ids.h"
#include "base/result.h"
#include "engine/generation.h"

namespace slora {

// Bounds the sequences in the engine, and the tokens of their prompts, in all and per client. Owned by the engine's loop; any thread takes
// places, and any thread gives them back, without a lock.
class LiveLimits {
  struct Count {
    std::atomic<std::size_t> sequences{0}, tokens{0};
  };

 public:
  struct Options {
    std::size_t sequences_max = 0;
    std::size_t tokens_max = 0;
    // If set, a client has this many sequences at most, and never more, nor more prompt tokens, than are free for the others: alone half
    // of all, and N clients that take what they can get leave one part in N + 1. So no client is shut out by a single other one.
    std::optional<std::size_t> client_sequences_max;
  };

  // The place of one sequence, which is free again when this is destroyed.
  class Place {
   public:
    Place() = default;
    Place(Place&& other) noexcept
        : all_(std::exchange(other.all_, nullptr)), client_(std::exchange(other.client_, nullptr)), tokens_(other.tokens_) {}
    Place& operator=(Place&& other) noexcept {
      std::swap(all_, other.all_);
      std::swap(client_, other.client_);
      std::swap(tokens_, other.tokens_);
      return *this;
    }
    ~Place() {
      for (Count* const count : {all_, client_}) {
        if (count == nullptr) continue;
        count->tokens.fetch_sub(tokens_, std::memory_order_relaxed);
        count->sequences.fetch_sub(1, std::memory_order_release);  // last: a client's count without sequences may be destroyed
      }
    }

   private:
    friend class LiveLimits;
    Place(Count& all, Count& client, std::size_t tokens) : all_(&all), client_(&client), tokens_(tokens) {
      for (Count* const count : {all_, client_}) {
        count->sequences.fetch_add(1, std::memory_order_relaxed);
        count->tokens.fetch_add(tokens, std::memory_order_relaxed);
      }
    }

    Count* all_ = nullptr;
    Count* client_ = nullptr;
    std::size_t tokens_ = 0;
  };

  // Outlives its places.
  explicit LiveLimits(const Options& options) : options_(options) {}

  // Refused with "queue_full" when all together have as much as may be, with "client_queue_full" when this client has, and with
  // "too_many_prompt_tokens" when the prompt has more tokens than all together may ever have.
  [[nodiscard]] Result<Place> try_take(ClientId client, std::size_t prompt_tokens);
  // Whether try_take() would accept all sequences of the demand if nobody else took or gave back a place meanwhile. Refused as by
  // try_take(), and with "too_many_sequences" or "too_many_prompt_tokens" when they would not be accepted even if nothing else were there.
  [[nodiscard]] Status check(ClientId client, const QueueDemand& demand);

  [[nodiscard]] std::size_t sequence_count() const { return all_.sequences.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t token_count() const { return all_.tokens.load(std::memory_order_relaxed); }

 private:
  // Whether the demand fits the limits when nothing else is there; now those of all; and now those of the client that has `own`.
  [[nodiscard]] Status check_alone(const QueueDemand& demand) const;
  [[nodiscard]] Status check_all(const QueueDemand& demand) const;
  [[nodiscard]] Status check_own(const Count& own, const QueueDemand& demand) const;
  void forget_idle_clients();

  const Options options_;
  Count all_;
  std::mutex mutex_;                             // of what follows, and of every increment
  std::unordered_map<ClientId, Count> clients_;  // the counts do not move
  std::size_t clients_max_ = 64;                 // before those without sequences are forgotten
};

}  // namespace slora
