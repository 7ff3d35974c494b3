#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace slora {

// After how many seconds a client should try again that found the queue full: as long as the sequences in it will take, at the rate at
// which sequences have finished lately. I/O thread.
class RetryEstimate {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  static constexpr int kSecondsMax = 600;

  // Called several times a second with how many sequences have finished since the start, and how many run or wait.
  void look(TimePoint now, std::uint64_t finished_count, std::size_t sequence_count);
  // From 1 to kSecondsMax; 1 while none has finished.
  [[nodiscard]] int seconds() const;

 private:
  TimePoint looked_at_{};
  std::uint64_t finished_count_ = 0;
  std::size_t sequence_count_ = 0;
  double finished_ = 0, busy_seconds_ = 0;  // lately: what is past counts less and less
};

}  // namespace slora
