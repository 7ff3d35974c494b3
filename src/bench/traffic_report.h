#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/traffic_run.h"
#include "formats/json.h"

namespace slora::bench {

// Seconds, over all that were counted.
struct TrafficTimes {
  std::size_t count = 0;
  double p50 = 0, p99 = 0;
};

// What a run comes to. Requests that failed count as such and in nothing else, and so do those that were given up.
struct TrafficReport {
  std::int64_t output_tokens = 0;
  double seconds = 0;                   // from the first request to the last token
  double tokens_per_second = 0;         // over those seconds
  double steady_tokens_per_second = 0;  // while all streams were busy and no longer in their first request; 0: never, or interrupted
  TrafficTimes first_token;             // of a request, since it was sent
  TrafficTimes next_token;              // between two tokens of a request
  std::int64_t cached_tokens = 0;       // of the prompts: work that was not done
  std::size_t error_count = 0;          // of streams and cold requests
  std::string first_error;
  double processor_seconds = 0;  // of the process that sent them
  bool interrupted = false;
  std::size_t ended_count = 0, given_up_count = 0;  // of streams and cold requests; those that failed have ended

  std::int32_t cold_count = 0;
  TrafficTimes cold_first_token;                          // of the cold requests
  TrafficTimes next_token_without, next_token_with_cold;  // in the phases of either kind
  bool ran_out_of_adapters = false;
};

[[nodiscard]] TrafficReport report_of(const TrafficOptions& options, const TrafficRun& run);

[[nodiscard]] Json to_json(const TrafficOptions& options);
[[nodiscard]] Json to_json(const TrafficReport& report);
// Lines for people.
[[nodiscard]] std::vector<std::string> lines_of(const TrafficReport& report);

}  // namespace slora::bench
