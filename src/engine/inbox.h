#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "backend/op_args.h"
#include "base/clock.h"
#include "base/result.h"
#include "engine/generation.h"
#include "engine/live_limits.h"
#include "engine/token_mask.h"
#include "memory/page_pool.h"

namespace slora {

// How one adapter load ended: a view of the landed image, or why there is none.
struct LoadOutcome {
  AdapterId adapter;
  Result<std::unique_ptr<const AdapterView>> view;
};

// A sequence to generate, its place among those in the engine, and its mask, as LiveSequence has it.
struct Submission {
  GenerationRequest request;
  LiveLimits::Place place;
  std::shared_ptr<TokenMask> mask;
};

// What the operator wants: an adapter pinned, or not any more; its idle time looked at, which has changed; or all work paused, or resumed.
struct EngineCommand {
  enum class Kind : std::uint8_t { pin, unpin, idle_time, pause, resume };
  std::string name;  // of the adapter
  Kind kind = Kind::pin;
  std::function<void(Status)> on_done;
};

// Called once on the engine thread with the pages and their owners; null when the engine begins anew.
using LookAtPages = std::function<void(const PagePool*)>;

// Everything that other threads send to the engine thread. Bounded by its users: submissions by the engine's limits, cancellations by the
// number of live sequences, outcomes by that of running loads, clearings and commands by that of connections, which each wait for one,
// looks by those who look, one at a time. Any thread may add; only the engine thread takes.
class Inbox {
 public:
  struct Contents {
    std::vector<Submission> submissions;
    std::vector<SequenceId> cancellations;
    std::vector<LoadOutcome> outcomes;
    std::vector<std::function<void(bool)>> clearings;  // of the caches; called with whether it was done
    std::vector<EngineCommand> commands;
    std::vector<LookAtPages> looks;

    void clear() {
      submissions.clear();
      cancellations.clear();
      outcomes.clear();
      clearings.clear();
      commands.clear();
      looks.clear();
    }
  };

  // So that a client that leaves can always be cancelled: no cancellation of this many takes memory.
  void reserve_cancellations(std::size_t count) {
    add([&] { waiting_.cancellations.reserve(count); });
  }

  void submit(Submission submission) {
    add([&] { waiting_.submissions.push_back(std::move(submission)); });
  }
  void cancel(SequenceId id) {
    add([&] { waiting_.cancellations.push_back(id); });
  }
  // Never fails: without memory it waits for some, for the engine waits for the outcome.
  void report(LoadOutcome outcome) {
    for (;;) {
      try {
        return add([&] { waiting_.outcomes.push_back(std::move(outcome)); });
      } catch (const std::bad_alloc&) {
        std::this_thread::sleep_for(kPauseWithoutMemory);
      }
    }
  }
  void clear_caches(std::function<void(bool)> on_done) {
    add([&] { waiting_.clearings.push_back(std::move(on_done)); });
  }
  void command(EngineCommand given) {
    add([&] { waiting_.commands.push_back(std::move(given)); });
  }
  void look_at_pages(LookAtPages look) {
    add([&] { waiting_.looks.push_back(std::move(look)); });
  }
  void wake() {
    add([] {});
  }

  // Replaces `out` by everything that was added since the last call. Takes no lock if there is nothing.
  void drain_into(Contents& out) {
    out.clear();
    if (!has_contents_.load(std::memory_order_acquire)) return;
    const std::lock_guard lock(mutex_);
    std::swap(out, waiting_);
    has_contents_.store(false, std::memory_order_relaxed);
  }
  // Waits until something is added, at most for `limit`.
  void wait_for(Timestamp limit) {
    std::unique_lock lock(mutex_);
    ready_.wait_for(lock, limit, [&] { return has_contents_.load(std::memory_order_relaxed); });
  }

 private:
  static constexpr std::chrono::milliseconds kPauseWithoutMemory{5};

  template <class Change>
  void add(Change change) {
    {
      const std::lock_guard lock(mutex_);
      change();
      has_contents_.store(true, std::memory_order_release);
    }
    ready_.notify_one();
  }

  std::mutex mutex_;
  std::condition_variable ready_;
  Contents waiting_;                       // guarded by mutex_
  std::atomic<bool> has_contents_{false};  // written under mutex_
};

}  // namespace slora
