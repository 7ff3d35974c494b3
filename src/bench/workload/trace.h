#pragma once
#include <cstdint>
#include <vector>

namespace slora::bench {

// One request of a trace: when it arrives, for which adapter, how long it is. Lengths are exact: nothing ends an answer before.
struct TraceRequest {
  double arrival = 0;         // seconds since the start of the trace
  std::int32_t adapter = -1;  // 0..n-1; -1: the base model
  std::int32_t client = 0;    // whose it is
  std::int32_t input_tokens = 1, output_tokens = 1;  // at least 1
};

struct Trace {
  std::vector<TraceRequest> requests;  // by arrival
  std::int32_t adapter_count = 0;      // n; the requests may name fewer
  double seconds = 0;                  // its duration: when the last request may arrive
};

}  // namespace slora::bench
