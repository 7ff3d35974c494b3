#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/key_ring.h"
#include "http/limits.h"
#include "http/routes.h"

namespace slora {

struct HttpServerOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8000;  // 0: any that is free
  HttpLimits limits;
};

// Reads requests within the limits, checks route and authorisation before it reads a body, and writes the answers. The thread in run() is
// the I/O thread; everything except post() and stop() happens on it.
class HttpServer {
 public:
  // Called for every answer with the route's path (empty when there is none) and the status.
  using OnResponse = std::function<void(std::string_view path, int status)>;

  // Binds and listens, so that a taken port is known before the model is loaded; clients wait in the kernel's queue until run().
  [[nodiscard]] static Result<std::unique_ptr<HttpServer>> listen(const HttpServerOptions& options);
  ~HttpServer();

  [[nodiscard]] std::uint16_t port() const;

  // Any thread; `work` runs on the I/O thread, in order.
  void post(std::function<void()> work);
  // Runs `work` once on the I/O thread after a delay.
  void post_after(std::chrono::milliseconds delay, std::function<void()> work);

  // Serves until stop(). `routes` and `keys` outlive it. `on_signal` is called for every SIGTERM and SIGINT.
  void run(const RouteTable& routes, const KeyRing& keys, OnResponse on_response, std::function<void()> on_signal);
  void stop();

  // From now on answers close their connections, and idle ones are closed. New requests are still read, so that they can be refused with an
  // answer.
  void begin_drain();

  // Requests whose answer isn't complete.
  [[nodiscard]] std::size_t exchange_count() const;

 private:
  struct State;
  explicit HttpServer(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace slora
