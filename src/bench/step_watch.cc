#include "bench/step_watch.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace slora::bench {

Engine::EventSink StepWatch::sink() {
  return [this](std::vector<TokenEvent>&& events) {
    const Timestamp now = clock_.now();
    const auto ends = std::ranges::count_if(events, [](const TokenEvent& event) { return event.end.has_value(); });
    std::unique_lock lock(mutex_);
    released_.wait(lock, [this] { return !is_held_; });
    steps_.push_back({now, std::move(events)});
    end_count_ += static_cast<std::size_t>(ends);
    if (ends > 0) ended_.notify_one();
  };
}

void StepWatch::hold() {
  const std::lock_guard lock(mutex_);
  is_held_ = true;
}

void StepWatch::release() {
  const std::lock_guard lock(mutex_);
  is_held_ = false;
  released_.notify_all();
}

std::vector<WatchedStep> StepWatch::wait_for_ends(std::size_t count) {
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [&] { return end_count_ >= count; });
  end_count_ = 0;  // ends beyond `count` are in the returned steps too
  return std::exchange(steps_, {});
}

std::vector<WatchedStep> StepWatch::wait_for_ends(std::size_t count, Timestamp deadline) {
  const auto until = std::chrono::steady_clock::time_point(std::chrono::duration_cast<std::chrono::steady_clock::duration>(deadline));
  std::unique_lock lock(mutex_);
  ended_.wait_until(lock, until, [&] { return end_count_ >= count; });
  end_count_ = 0;
  return std::exchange(steps_, {});
}

}  // namespace slora::bench
