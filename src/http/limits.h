#pragma once
#include <chrono>
#include <cstddef>

namespace slora {

// Bounds on the resources that clients may use. Constant after construction.
struct HttpLimits {
  std::size_t request_line_bytes_max = 8 << 10;
  std::size_t head_bytes_max = 16 << 10;
  std::size_t field_count_max = 64;
  std::size_t body_bytes_max = 4 << 20;
  std::size_t large_body_bytes_max = 64 << 20;   // on the operator's routes that take tensors
  std::size_t request_memory_bytes = 256 << 20;  // what all requests hold: bodies, what is made of them, unsent bytes
  std::size_t unsent_bytes_max = 4 << 20;        // of one stream, or a single event
  std::size_t connections_max = 4096;            // beyond, the oldest idle ones are closed for new ones
  std::size_t connections_reserved = 32;         // in addition, for health checks and metrics when no connection is idle
  std::size_t body_bytes_per_second_min = 16 << 10;
  std::chrono::seconds head_time{10};  // from the first byte to the last of a request's head
  std::chrono::seconds body_idle_time{15};
  std::chrono::seconds keep_alive_time{60};
  std::chrono::seconds write_stall_time{30};
};

}  // namespace slora
