#pragma once
#include <chrono>
#include <cstdint>

#include "api/job_table.h"
#include "engine/engine.h"
#include "http/engine_watch.h"
#include "http/generation_routes.h"
#include "http/info_routes.h"
#include "http/refused_request.h"
#include "http/retry_estimate.h"
#include "http/server.h"
#include "http/status_routes.h"

namespace slora {

// What becomes of the process when the engine hangs: it ends, so that its supervisor starts another, or it waits for the engine.
enum class OnStall : std::uint8_t { wait, exit };

struct EngineGuardOptions {
  std::chrono::seconds silence_max{10};  // of an engine that works
  OnStall on_stall = OnStall::wait;
};

// Looks after requests whose engine does not: ends those whose time is over, and when the engine hangs or has failed answers all of them
// and refuses new ones. After a failure the process ends. I/O thread.
class EngineGuard {
 public:
  struct Parts {
    HttpServer& http;
    Engine& engine;
    GenerationRoutes& generation;
    StatusRoutes& status;
    InfoRoutes& info;
    JobTable& jobs;
  };

  // `parts` outlive it. Begins to look when the server runs.
  EngineGuard(const Parts& parts, const EngineGuardOptions& options);

  // When a client that is refused for now should try again.
  [[nodiscard]] RetryEstimate::TimePoint retry_time(const RefusedRequest& refused, RetryEstimate::TimePoint now);

 private:
  void look();
  // The engine's trouble; nothing while it works.
  [[nodiscard]] std::optional<Error> find_trouble() const;
  void begin_exit();

  const Parts parts_;
  const EngineGuardOptions options_;
  EngineWatch watch_;
  RetryEstimate retry_;
  std::optional<Error> trouble_;
  bool is_ending_ = false;
};

// Ends the process with this code if it has not ended by itself within the time: for whatever waits for an engine that hangs or for a file
// system that does not answer.
void end_process_after(std::chrono::seconds time, int exit_code);

}  // namespace slora
