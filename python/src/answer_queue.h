#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "api/api_error.h"
#include "base/ids.h"

namespace slora::python {

struct ScoredToken {
  TokenId id = -1;
  float logprob = 0;
  std::int32_t rank = 0;  // 0: not known
  std::string text;
};
using ScoredTokens = std::vector<ScoredToken>;  // the token itself first, then the most likely ones

struct PromptAnswer {
  std::vector<TokenId> tokens;
  std::string text;                    // of a conversation, as its template writes it; otherwise empty
  std::vector<ScoredTokens> logprobs;  // [tokens - 1]; only if requested
  std::int64_t cached_tokens = 0;
};

// What is new in one choice.
struct ChoiceAnswer {
  std::int64_t index = 0;
  std::string text;
  std::vector<TokenId> tokens;
  std::vector<ScoredTokens> logprobs;  // [tokens], only if requested
  std::string finish_reason;           // empty while it continues
  std::string stop_reason;             // JSON; empty: none
};

// What one step of the engine brought for one request. Times are seconds of the steady clock, which is Python's time.monotonic().
struct AnswerUpdate {
  std::uint64_t request = 0;
  std::optional<PromptAnswer> prompt;  // in the first update
  std::vector<ChoiceAnswer> choices;
  std::optional<ApiError> error;  // in the last update
  bool is_last = false;
  double first_token_seconds = 0;
  double seconds = 0;
};

// Answers on their way from the engine's thread to the Python thread, or event loop, that waits for them. Any thread.
class AnswerQueue {
 public:
  // `notify` is called by announce() when there are updates and nobody was notified of them yet; it may be empty.
  explicit AnswerQueue(std::function<void()> notify) : notify_(std::move(notify)) {}

  void push(AnswerUpdate update);
  void announce();

  [[nodiscard]] std::vector<AnswerUpdate> take();
  // The same after waiting for updates until `limit` has passed.
  [[nodiscard]] std::vector<AnswerUpdate> wait(std::chrono::duration<double> limit);

  // Nobody reads any more: updates are dropped from now on, and their requests are cancelled.
  void close();
  [[nodiscard]] bool is_closed() const;

 private:
  const std::function<void()> notify_;
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::vector<AnswerUpdate> updates_;  // guarded by mutex_, as all below
  bool is_notified_ = false;
  bool is_closed_ = false;
};

}  // namespace slora::python
