#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"

namespace slora::bench {

// A closed loop of requests: each stream sends its next request when the last has ended. Equal options make equal requests, whatever the
// target.
struct TrafficOptions {
  std::int32_t streams = 8;
  std::int32_t requests = 64;  // of all streams together
  std::int32_t input_tokens = 128, output_tokens = 64;
  std::int32_t adapter_count = 0;   // requests use the first N in rotation, and the next seed continues it; 0: the base model
  std::int32_t vocabulary = 32000;  // prompts have token ids below this
  std::uint64_t seed = 1;

  // In addition to the streams, in every second phase: requests that each name an adapter which has not been used before.
  double cold_per_second = 0;
  double phase_seconds = 5;
  std::int32_t cold_begin = 0;  // adapters beyond adapter_count that earlier runs used
};

struct TrafficRequest {
  std::vector<TokenId> prompt;  // [1..]; empty: the text is
  std::int32_t output_tokens = 1;
  std::string adapter;  // its name; empty: the base
  std::string text;     // the prompt of servers that take no token ids
};

// The request with this index, counted over all streams. Requires: at least options.adapter_count names.
[[nodiscard]] TrafficRequest traffic_request(const TrafficOptions& options, const std::vector<std::string>& adapters, std::size_t number);
// A short request for an adapter that must be loaded first.
[[nodiscard]] TrafficRequest cold_request(const TrafficOptions& options, const std::string& adapter, std::size_t number);

}  // namespace slora::bench
