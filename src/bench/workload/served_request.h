#pragma once
#include <cstdint>

namespace slora::bench {

enum class ServedEnd : std::uint8_t {
  completed,
  aborted,    // given up by the server's policy, or refused for lack of capacity (429, 503)
  failed,     // any other error
  unsent,     // never sent, for a limit of the client's own: says nothing about the server
  abandoned,  // the run ended before
};

// What became of one request of a trace, as its client saw it. Times are seconds since the start of the trace.
struct ServedRequest {
  std::int32_t request = 0;  // its index in the trace
  ServedEnd end = ServedEnd::abandoned;
  double arrival = 0;       // when it was sent; with an open loop, when the trace says
  double first_token = -1;  // when it came; -1: never
  double last_token = -1;
  std::int32_t output_tokens = 0;
};

}  // namespace slora::bench
