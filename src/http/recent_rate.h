#pragma once
#include <chrono>
#include <cstdint>

namespace slora {

// How often something has happened lately: its mean over a past that counts less and less, by a factor of e a minute. I/O thread.
class RecentRate {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  static constexpr double kMemorySeconds = 60;

  // Called several times a second with how often it has happened since the start.
  void look(TimePoint now, std::uint64_t count);
  // 0 before the second look.
  [[nodiscard]] double per_second() const { return seconds_ > 0 ? happened_ / seconds_ : 0; }

 private:
  TimePoint looked_at_{};
  std::uint64_t count_ = 0;
  double happened_ = 0, seconds_ = 0;  // lately
};

}  // namespace slora
