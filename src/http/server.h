#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/cors.h"
#include "http/key_ring.h"
#include "http/limits.h"
#include "http/refused_request.h"
#include "http/routes.h"

namespace slora {

// A port of its own for the routes of Doors::every, which needs no key and which other connections can't take up.
struct HealthPort {
  std::string host;
  std::uint16_t port = 0;  // 0: any that is free
};

struct HttpServerOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8000;  // 0: any that is free
  std::optional<HealthPort> health;
  HttpLimits limits;
  CorsOptions cors;
};

// What the server answers with. All that it borrows outlives run().
struct HttpServices {
  const RouteTable& routes;
  const KeyRing& keys;
  // Called for every answer with the route's path (empty when there is none) and the status.
  std::function<void(std::string_view path, int status)> on_response;
  RetryTime retry_time;  // for Retry-After
  // Called for every SIGTERM and SIGINT.
  std::function<void()> on_signal;
};

// Reads requests within the limits, checks route and authorisation before it reads a body, and writes the answers. The thread in run() is
// the I/O thread; everything except post() and stop() happens on it.
class HttpServer {
 public:
  // Binds and listens, so that a taken port is known before the model is loaded; clients wait in the kernel's queue until run().
  [[nodiscard]] static Result<std::unique_ptr<HttpServer>> listen(const HttpServerOptions& options);
  ~HttpServer();

  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] std::optional<std::uint16_t> health_port() const;

  // Any thread; `work` runs on the I/O thread, in order. Never fails: without memory it waits for some.
  void post(std::function<void()> work);
  // Runs `work` once on the I/O thread after a delay. I/O thread.
  void post_after(std::chrono::milliseconds delay, std::function<void()> work);

  // Serves until stop().
  void run(const HttpServices& services);
  void stop();

  // From now on answers close their connections, and idle ones are closed. New requests are still read, so that they can be refused with an
  // answer.
  void begin_drain();

  // What requests hold of HttpLimits::request_memory_bytes. Any thread.
  [[nodiscard]] std::size_t request_memory_bytes() const;

  // Requests on the main port whose answer isn't complete.
  [[nodiscard]] std::size_t exchange_count() const;

 private:
  struct State;
  explicit HttpServer(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace slora
