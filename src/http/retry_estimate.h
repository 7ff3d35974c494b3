#pragma once
#include <chrono>
#include <map>
#include <optional>

#include "api/job_table.h"
#include "base/ids.h"

namespace slora {

// When a client should try again that found the queue full, by the tokens that the sequences in it are expected to take and the rate of
// tokens. I/O thread.
class RetryEstimate {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  static constexpr int kSecondsMax = 600;

  // Called several times a second.
  void look(TimePoint now, TokenWork work);
  // As long as what is there will take: from 1 to kSecondsMax; 1 while no token has been computed, or only since a moment. At the higher one of the rates of the
  // last seconds and of the last half minute: a server that was hardly asked before has shown at first what it was asked for, not what it
  // can do.
  [[nodiscard]] int seconds() const;
  // A time of its own for each client that is refused, as places become free one after the other, at the rate of the last seconds: if all
  // came back together, most would be refused again. `given_before`: the time that it got when it was refused before, if that is known.
  // It gets the same one when it comes too early, and one before those of clients that have not waited yet when it comes in time.
  [[nodiscard]] TimePoint appoint(TimePoint now, TenantId tenant, std::optional<TimePoint> given_before);

 private:
  // Recently: what is past counts less and less, and idle time nothing.
  struct Rate {
    double memory_seconds;  // after which what was seen counts 1/e
    double tokens = 0, busy_seconds = 0;

    void add(double more_tokens, double passed_seconds);
    [[nodiscard]] double tokens_per_second() const { return busy_seconds > 0 ? tokens / busy_seconds : 0; }
  };
  // The latest times that were given to clients of a tenant.
  struct Latest {
    TimePoint first{}, again{};  // to those that came for the first time, and in time
  };

  [[nodiscard]] double rate() const;
  // Between two places that a tenant's requests leave.
  [[nodiscard]] double seconds_per_request() const;

  TimePoint looked_at_{};
  TokenWork work_;
  double request_tokens_ = 0;  // of the requests that were there when there were any
  Rate short_{.memory_seconds = 2}, long_{.memory_seconds = 30};
  std::map<TenantId, Latest> latest_;  // that are not over
};

}  // namespace slora
