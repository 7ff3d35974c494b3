#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bench/traffic_target.h"

namespace slora::bench {

// The course of one request.
struct TrafficRecord {
  bool is_cold = false;
  Timestamp sent{};
  std::vector<Timestamp> tokens;  // when each arrived
  Timestamp ended{};              // zero: it was abandoned
  std::int64_t cached_tokens = 0;
  std::string error;
};

struct TrafficRun {
  Timestamp begin{};
  std::vector<TrafficRecord> records;  // in the order of sending
  std::int32_t cold_count = 0;
  bool ran_out_of_adapters = false;  // fewer cold requests were sent than requested
  bool interrupted = false;          // before all requests had ended
  double processor_seconds = 0;      // of this process
};

// Phases are of equal length, the first without cold requests.
[[nodiscard]] std::int64_t phase_of(const TrafficOptions& options, Timestamp since_begin);

// An error when the target does not answer, or has fewer adapters than `options` need.
[[nodiscard]] Status can_run_traffic(TrafficTarget& target, const TrafficOptions& options);

// Sends the requests and waits until all have ended. `progress` is called with how many of how many have ended. When `stop` becomes
// true, running requests are abandoned, and the target must not be used again. An error when a request cannot be sent, or when the target
// is silent for minutes.
[[nodiscard]] Result<TrafficRun> run_traffic(TrafficTarget& target, const TrafficOptions& options, const Clock& clock,
                                             const std::function<void(std::uint64_t, std::uint64_t)>& progress,
                                             const std::atomic<bool>& stop);

}  // namespace slora::bench
