#pragma once
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "backend/op_args.h"
#include "base/clock.h"
#include "base/result.h"
#include "engine/generation.h"

namespace slora {

// How one adapter load ended: a view of the landed image, or why there is none.
struct LoadOutcome {
  AdapterId adapter;
  Result<std::unique_ptr<const AdapterView>> view;
};

// What other threads tell the engine thread, in one place. Bounded by its users: submissions by the engine's admission,
// cancellations by live sequences, outcomes by loads under way, clearings by the connections that wait for one. Any thread may tell; the
// engine thread takes.
class Inbox {
 public:
  struct Contents {
    std::vector<GenerationRequest> submissions;
    std::vector<SequenceId> cancellations;
    std::vector<LoadOutcome> outcomes;
    std::vector<std::function<void(bool)>> clearings;  // of the caches: told whether it was done

    void clear() {
      submissions.clear();
      cancellations.clear();
      outcomes.clear();
      clearings.clear();
    }
  };

  void submit(GenerationRequest request) {
    tell([&] { waiting_.submissions.push_back(std::move(request)); });
  }
  void cancel(SequenceId id) {
    tell([&] { waiting_.cancellations.push_back(id); });
  }
  void report(LoadOutcome outcome) {
    tell([&] { waiting_.outcomes.push_back(std::move(outcome)); });
  }
  void clear_caches(std::function<void(bool)> told) {
    tell([&] { waiting_.clearings.push_back(std::move(told)); });
  }
  void wake() {
    tell([] {});
  }

  // Replaces `out` by everything told since the last call. Takes no lock when that is nothing.
  void drain_into(Contents& out) {
    out.clear();
    if (!told_.load(std::memory_order_acquire)) return;
    const std::lock_guard lock(mutex_);
    std::swap(out, waiting_);
    told_.store(false, std::memory_order_relaxed);
  }
  // Waits until something is told, at most `limit`.
  void wait_for(Timestamp limit) {
    std::unique_lock lock(mutex_);
    ready_.wait_for(lock, limit, [&] { return told_.load(std::memory_order_relaxed); });
  }

 private:
  template <class Change>
  void tell(Change change) {
    {
      const std::lock_guard lock(mutex_);
      change();
      told_.store(true, std::memory_order_release);
    }
    ready_.notify_one();
  }

  std::mutex mutex_;
  std::condition_variable ready_;
  Contents waiting_;               // guarded by mutex_
  std::atomic<bool> told_{false};  // written under mutex_
};

}  // namespace slora
