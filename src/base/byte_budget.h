#pragma once
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"

namespace slora {

class ByteReservation;

// A bound on the bytes that requests hold in all their stages. No client can use it up: new work of a client is refused once it would hold
// more than what then stays free for the others, so one alone holds at most half, the next at most a quarter. Outlives its reservations.
// Any thread.
class ByteBudget {
 public:
  // `option`: which the log names when all of it is held; empty: nothing is logged.
  explicit ByteBudget(std::size_t bytes_max, std::string_view option = "--request-memory") : bytes_max_(bytes_max), option_(option) {}
  ByteBudget(const ByteBudget&) = delete;
  ByteBudget& operator=(const ByteBudget&) = delete;

  // Of no bytes at first.
  [[nodiscard]] ByteReservation reservation_for(ClientId client);

  [[nodiscard]] std::size_t bytes_max() const { return bytes_max_; }
  [[nodiscard]] std::size_t held_bytes() const;
  [[nodiscard]] std::size_t held_bytes_of(ClientId client) const;

 private:
  friend class ByteReservation;
  enum class Growth { new_work, accepted_work };

  [[nodiscard]] Status take(ClientId client, std::size_t bytes, Growth growth);
  void give_back(ClientId client, std::size_t bytes);
  [[nodiscard]] tl::unexpected<Error> refuse_all();

  const std::size_t bytes_max_;
  const std::string option_;
  const SteadyClock clock_;
  mutable std::mutex mutex_;
  std::size_t held_bytes_ = 0;                           // guarded by mutex_
  std::unordered_map<ClientId, std::size_t> of_client_;  // guarded by mutex_; those that hold something
  Timestamp warned_{};                                   // guarded by mutex_
};

// What one request holds of a budget; given back by its destructor. Moves along with the request. One without a budget is never refused.
// One thread at a time.
class ByteReservation {
 public:
  ByteReservation() = default;
  ~ByteReservation() { shrink_to(0); }
  ByteReservation(ByteReservation&& other) noexcept
      : budget_(std::exchange(other.budget_, nullptr)), client_(other.client_), bytes_(std::exchange(other.bytes_, 0)) {}
  ByteReservation& operator=(ByteReservation&& other) noexcept {
    if (this == &other) return *this;
    shrink_to(0);
    budget_ = std::exchange(other.budget_, nullptr);
    client_ = other.client_;
    bytes_ = std::exchange(other.bytes_, 0);
    return *this;
  }

  // Grows to `bytes` in all, or stays as it is: "queue_full" when the client would hold more than its share, "out_of_memory" when the
  // budget is used up. For requests that are still being read: later ones may grow into what is kept free for other clients.
  [[nodiscard]] Status grow_to(std::size_t bytes);
  // The same for requests that were accepted: refused only when the budget is used up.
  [[nodiscard]] Status continue_to(std::size_t bytes);
  void shrink_to(std::size_t bytes) noexcept;

  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  // Another one of the same client, of no bytes.
  [[nodiscard]] ByteReservation sibling() const { return {budget_, client_}; }
  // Another one that counts in all but against no client: for work that few threads do, one request after the other.
  [[nodiscard]] ByteReservation sibling_of_nobody() const { return {budget_, kNobody}; }

 private:
  friend class ByteBudget;
  ByteReservation(ByteBudget* budget, ClientId client) : budget_(budget), client_(client) {}

  static constexpr ClientId kNobody{~std::uint64_t{0}};

  ByteBudget* budget_ = nullptr;
  ClientId client_;
  std::size_t bytes_ = 0;
};

}  // namespace slora
