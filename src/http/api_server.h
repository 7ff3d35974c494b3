#pragma once
#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/runtime.h"
#include "http/api_routes.h"
#include "http/engine_guard.h"
#include "http/key_ring.h"
#include "http/server.h"
#include "http/status_routes.h"
#include "sources/adapter_sources.h"
#include "traces/collector_url.h"

namespace slora {

struct Ready {
  std::string url;  // that clients use
  std::optional<std::string> health_url;
  bool serves_chats = false;
};

struct ApiServerOptions {
  HttpServerOptions http;
  ModelNames model_names;
  KeyOptions keys;
  std::optional<std::filesystem::path> chat_template_file;
  AdapterSourceOptions sources;
  AnswerFormChoice answer_forms = {};
  std::uint64_t push_bytes_max = 256 << 20;  // of all adapters whose tensors came in a body
  std::chrono::seconds watch_interval{0};    // how often --adapters is scanned for new and removed folders; 0: never
  std::chrono::seconds drain_time{30};
  EngineGuardOptions guard;
  std::size_t text_threads = 2;
  std::size_t adapter_metrics_max = 64;  // adapters with metrics of their own
  PageOffer page = PageOffer::offered;
  bool logs_requests = false;             // a line for each that generates
  std::optional<CollectorUrl> collector;  // where a span of each goes
  // Called once the server answers requests.
  std::function<void(const Ready& ready, Runtime& runtime)> on_ready;
};

// Serves a model until a signal ends it: listens, loads, answers, drains. Returns 0 when all requests finished, 1 when the drain time or a
// second signal cut some off; an error when it could not start. Ends the process when the engine fails, or hangs and the options say so,
// and when destructors wait for longer than a few seconds after a signal. The calling thread is the I/O thread.
[[nodiscard]] Result<int> run_api_server(const ApiServerOptions& options, RuntimeOptions runtime_options);

}  // namespace slora
