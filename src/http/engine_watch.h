#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

namespace slora {

// Finds out from an engine's signs of life that it hangs. Counts the time between its own looks, each as a second at most: a process that
// was stopped for a while must not take its own silence for the engine's. I/O thread.
class EngineWatch {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // `progress` returns a number that changes while the engine lives.
  EngineWatch(std::function<std::uint64_t()> progress, std::chrono::seconds silence_max)
      : progress_(std::move(progress)), silence_max_(silence_max) {}

  // Called several times a second.
  void look(TimePoint now) {
    const std::uint64_t progress = progress_();
    const bool is_silent = progress_before_ == progress;
    silence_ = is_silent ? silence_ + std::min(now - looked_at_, kLookMax) : std::chrono::steady_clock::duration::zero();
    progress_before_ = progress;
    looked_at_ = now;
  }
  [[nodiscard]] bool is_stalled() const { return silence_ >= silence_max_; }

 private:
  static constexpr std::chrono::steady_clock::duration kLookMax = std::chrono::seconds(1);

  const std::function<std::uint64_t()> progress_;
  const std::chrono::steady_clock::duration silence_max_;
  std::optional<std::uint64_t> progress_before_;
  TimePoint looked_at_;
  std::chrono::steady_clock::duration silence_{0};
};

}  // namespace slora
