#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/traffic_run.h"
#include "formats/json.h"

namespace slora::bench {

// Distribution of times in seconds.
struct TrafficTimes {
  std::size_t count = 0;
  double p50 = 0, p99 = 0;
};

// The result of a run. Requests that failed or were abandoned are counted as such and in no other figure.
struct TrafficReport {
  std::int64_t output_tokens = 0;
  double seconds = 0;                   // from the first request to the last token
  double tokens_per_second = 0;         // over `seconds`
  double steady_tokens_per_second = 0;  // while all streams were busy and past their first request; 0: never, or interrupted
  TrafficTimes first_token;             // from the sending of a request
  TrafficTimes next_token;              // between consecutive tokens of a request
  std::int64_t cached_tokens = 0;       // prompt tokens that the server did not compute
  std::size_t error_count = 0;          // of streams and cold requests
  std::string first_error;
  double processor_seconds = 0;  // of the client process
  bool interrupted = false;
  std::size_t ended_count = 0, given_up_count = 0;  // of streams and cold requests; failed ones count as ended

  std::int32_t cold_count = 0;
  TrafficTimes cold_first_token;                          // of the cold requests
  TrafficTimes next_token_without, next_token_with_cold;  // in the phases without and with cold requests
  bool ran_out_of_adapters = false;
};

[[nodiscard]] TrafficReport report_of(const TrafficOptions& options, const TrafficRun& run);

[[nodiscard]] Json to_json(const TrafficOptions& options);
[[nodiscard]] Json to_json(const TrafficReport& report);
// The lines to print.
[[nodiscard]] std::vector<std::string> lines_of(const TrafficReport& report);

}  // namespace slora::bench
