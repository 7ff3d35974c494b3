#pragma once
#include <condition_variable>
#include <mutex>
#include <vector>

#include "engine/engine.h"

namespace slora::bench {

// The events of one iteration of the engine loop, and when they arrived.
struct WatchedStep {
  Timestamp at{};
  std::vector<TokenEvent> events;
};

// Collects an engine's events. The engine's thread writes, one other reads; it is woken when sequences end, not at every step.
class StepWatch {
 public:
  // The sink for the engine; the watch outlives it.
  [[nodiscard]] Engine::EventSink sink();

  // From hold() to release() the engine waits at the end of a step, so that sequences submitted in between start together.
  void hold();
  void release();

  // Everything since the last call, once `count` sequences have ended since then.
  [[nodiscard]] std::vector<WatchedStep> wait_for_ends(std::size_t count);
  // The same, or everything until `deadline` when that comes first.
  [[nodiscard]] std::vector<WatchedStep> wait_for_ends(std::size_t count, Timestamp deadline);

 private:
  const SteadyClock clock_;
  std::mutex mutex_;
  std::condition_variable ended_, released_;
  std::vector<WatchedStep> steps_;  // guarded by mutex_
  std::size_t end_count_ = 0;       // guarded by mutex_
  bool is_held_ = false;            // guarded by mutex_
};

}  // namespace slora::bench
