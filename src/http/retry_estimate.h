#pragma once
#include <chrono>

#include "api/job_table.h"

namespace slora {

// After how many seconds a client should try again that found the queue full: as long as the sequences in it will take, by the tokens that
// they are expected to take and the rate of tokens. That is the higher one of the last seconds and of the last half minute: a server that
// was hardly asked before has shown at first what it was asked for, not what it can do. I/O thread.
class RetryEstimate {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  static constexpr int kSecondsMax = 600;

  // Called several times a second.
  void look(TimePoint now, TokenWork work);
  // From 1 to kSecondsMax; 1 while no token has been computed.
  [[nodiscard]] int seconds() const;

 private:
  // Of late: what is past counts less and less, and idle time nothing.
  struct Rate {
    double memory_seconds;  // after which what was seen counts 1/e
    double tokens = 0, busy_seconds = 0;

    void add(double more_tokens, double passed_seconds);
    [[nodiscard]] double tokens_per_second() const { return busy_seconds > 0 ? tokens / busy_seconds : 0; }
  };

  TimePoint looked_at_{};
  TokenWork work_;
  Rate short_{.memory_seconds = 2}, long_{.memory_seconds = 30};
};

}  // namespace slora
