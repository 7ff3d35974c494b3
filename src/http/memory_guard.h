#pragma once
#include <chrono>
#include <cstdint>

#include "base/memory_reserve.h"
#include "http/generation_routes.h"
#include "http/server.h"

namespace slora {

// Keeps a reserve of memory for the server. While that can't be made whole again, new requests are refused with "out_of_memory" for a second
// after the latest allocation that failed, so that those that run can end and give theirs back. I/O thread.
class MemoryGuard {
 public:
  // Both outlive it. Begins to look when the server runs.
  MemoryGuard(HttpServer& http, GenerationRoutes& generation);

 private:
  void look();

  HttpServer& http_;
  GenerationRoutes& generation_;
  MemoryReserve reserve_;
  std::uint64_t failure_count_ = 0;  // at the latest look
  std::chrono::steady_clock::time_point short_until_{};
  bool is_short_ = false;
};

}  // namespace slora
