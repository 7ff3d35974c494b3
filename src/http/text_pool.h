#pragma once
#include <cstddef>
#include <functional>
#include <utility>

#include "base/ids.h"
#include "base/turn_pool.h"

namespace slora {

// The threads that turn bodies into prompts and back: they parse, render and tokenise. What a body costs is about proportional to its
// length, so short and long ones are apart: long ones have one thread, of low priority, and never delay short ones. On either side clients
// take turns and none fills the queue alone. Any thread may give it work.
class TextPool {
 public:
  // Bodies up to this size are short.
  static constexpr std::size_t kShortBytesMax = std::size_t{64} << 10;

  // `thread_count`: for short bodies.
  explicit TextPool(std::size_t thread_count);

  // Queues `job`, which is about a body of this size. False when too much waits, or after stop().
  [[nodiscard]] bool try_run(ClientId client, std::size_t body_bytes, std::function<void()> job) {
    return (body_bytes <= kShortBytesMax ? short_ : long_).try_run(client, std::move(job));
  }
  // Waits for the jobs that are running; queued ones are destroyed, without being run, on the calling thread.
  void stop() {
    short_.stop();
    long_.stop();
  }

 private:
  TurnPool short_, long_;
};

}  // namespace slora
