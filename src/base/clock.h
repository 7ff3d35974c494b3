#pragma once
#include <chrono>

namespace slora {

// Time since an arbitrary start; never decreases. Code that decides takes it as an argument, so that tests and the simulator control time.
using Timestamp = std::chrono::nanoseconds;

// Where time comes from: the system, or a counter in tests.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual Timestamp now() const = 0;
};

class SteadyClock final : public Clock {
 public:
  [[nodiscard]] Timestamp now() const override {
    return std::chrono::duration_cast<Timestamp>(std::chrono::steady_clock::now().time_since_epoch());
  }
};

inline double seconds(Timestamp span) { return std::chrono::duration<double>(span).count(); }

}  // namespace slora
