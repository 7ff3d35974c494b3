#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "constraint/constraint.h"
#include "metrics/metrics.h"

namespace slora {

// Which tokens a sequence may draw next, as the form of its answer says. Computed by MaskThreads, which have it while it is pending; the
// engine thread has it otherwise. Held by shared_ptr: a call of a constraint can't be interrupted, and may outlast the sequence.
class TokenMask {
 public:
  enum class State : std::uint8_t {
    unknown,    // nobody computes it
    asked,      // it waits for a thread
    computing,  // a thread works on it
    known,      // words() are there
    complete,   // the answer has its form, and nothing may follow
    failed      // error() says why
  };

  // `word_count`: of a bit for each token of the base's vocabulary. `client`: whose answer it is.
  TokenMask(std::unique_ptr<TokenConstraint> constraint, std::size_t word_count, ClientId client)
      : client_(client), constraint_(std::move(constraint)), words_(word_count) {}

  [[nodiscard]] std::size_t word_count() const { return words_.size(); }
  [[nodiscard]] State state() const { return state_.load(std::memory_order_acquire); }
  [[nodiscard]] bool is_pending() const { return state() == State::asked || state() == State::computing; }
  // Requires: known.
  [[nodiscard]] std::span<const std::uint32_t> words() const { return words_; }
  // Requires: failed.
  [[nodiscard]] const Error& error() const { return error_; }

  // Whether the constraint took the latest token so quickly that a step may wait for it to take the next.
  [[nodiscard]] bool accepts_quickly() const { return accepts_quickly_; }

 private:
  friend class MaskThreads;

  // The token that was drawn. Unknown, complete or failed.
  [[nodiscard]] State accepted(TokenId token);
  // Known or failed.
  [[nodiscard]] State computed(Histogram& fill_seconds);

  const ClientId client_;
  const std::unique_ptr<TokenConstraint> constraint_;
  std::vector<std::uint32_t> words_;
  Error error_;
  bool accepts_quickly_ = true;
  std::atomic<State> state_{State::unknown};

  // While it is pending, guarded by the mutex of MaskThreads:
  TokenId token_ = -1;               // to accept; -1: the mask is to be computed
  Timestamp since_{};                // when it was asked for, or a thread began to compute it
  bool is_watched_ = false;          // the engine is to be woken
  std::shared_ptr<TokenMask> next_;  // that waits for a thread
};

}  // namespace slora
