#pragma once
#include "base/memory_reserve.h"
#include "http/generation_routes.h"
#include "http/server.h"

namespace slora {

// Keeps a reserve of memory for the server, and refuses new requests with "out_of_memory" from the time that it was needed until it is
// whole again. I/O thread.
class MemoryGuard {
 public:
  // Both outlive it. Begins to look when the server runs.
  MemoryGuard(HttpServer& http, GenerationRoutes& generation);

 private:
  void look();

  HttpServer& http_;
  GenerationRoutes& generation_;
  MemoryReserve reserve_;
  bool is_short_ = false;
};

}  // namespace slora
