#include "http/server.h"

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <utility>  // Boost 1.74's coroutines use std::exchange without it

#include "base/log.h"
#include "http/connection.h"

namespace slora {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr std::size_t kHealthConnectionsMax = 64;

HttpLimits limits_of_health(HttpLimits limits) {
  limits.connections_max = std::min(kHealthConnectionsMax, limits.connections_max);
  limits.connections_reserved = 0;
  return limits;
}

// `options`: of the command line, which the error names.
Status listen_on(tcp::acceptor& acceptor, const std::string& host, std::uint16_t port, std::string_view options) {
  boost::system::error_code failure;
  const asio::ip::address address = asio::ip::make_address(host == "localhost" ? "127.0.0.1" : host, failure);
  if (failure) {
    return error("bad_host", "{}host {}: expected an address of this machine, such as 127.0.0.1 or 0.0.0.0", options, host);
  }
  const tcp::endpoint endpoint(address, port);
  acceptor.open(endpoint.protocol(), failure);
  if (!failure) acceptor.set_option(tcp::acceptor::reuse_address(true), failure);
  if (!failure) acceptor.bind(endpoint, failure);
  if (!failure) acceptor.listen(asio::socket_base::max_listen_connections, failure);
  if (!failure) return {};
  return error("bad_address", "can't listen on {} port {}: {}. Choose another with {}port (0 takes any that is free).", host, port,
               failure.message(), options);
}

}  // namespace

struct HttpServer::State {
  explicit State(const HttpServerOptions& options)
      : main(Door::main, options.limits, Cors(options.cors)), health(Door::health, limits_of_health(options.limits), Cors(options.cors)) {}

  asio::awaitable<void> accept(tcp::acceptor& acceptor, HttpConnections& shared);
  void watch_deadlines();
  void wait_for_signal(const std::function<void()>& on_signal);

  HttpConnections main, health;  // they outlive what runs in `io`
  asio::io_context io{1};
  tcp::acceptor main_acceptor{io}, health_acceptor{io};
  asio::signal_set signals{io};
  asio::steady_timer tick{io};
};

// Idle connections make space for new ones, when descriptors run out too. If none is idle, clients wait in the kernel's queue and the loop
// pauses.
asio::awaitable<void> HttpServer::State::accept(tcp::acceptor& acceptor, HttpConnections& shared) {
  constexpr std::chrono::milliseconds pause(50);
  asio::steady_timer timer(io);
  bool complained = false;
  for (;;) {
    boost::system::error_code failure;
    if (shared.all.size() < shared.limits.connections_max + shared.limits.connections_reserved) {
      tcp::socket socket = co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, failure));
      if (failure == asio::error::operation_aborted) co_return;
      if (!failure) {
        complained = false;
        if (shared.all.size() >= shared.limits.connections_max) (void)close_oldest_idle(shared, std::chrono::steady_clock::now());
        start_connection(io, std::move(socket), shared);
        continue;
      }
      if (failure == asio::error::no_descriptors && close_oldest_idle(shared, std::chrono::steady_clock::now())) continue;
      if (failure != asio::error::connection_aborted && !std::exchange(complained, true)) {
        log_warning("can't accept connections for now: {}", failure.message());
      }
    }
    if (shared.all.size() >= shared.limits.connections_max && close_oldest_idle(shared, std::chrono::steady_clock::now())) continue;
    timer.expires_after(pause);
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, failure));
  }
}

// One timer for all connections instead of one each: deadlines are seconds away and move with every byte.
void HttpServer::State::watch_deadlines() {
  tick.expires_after(std::chrono::milliseconds(250));
  tick.async_wait([this](const boost::system::error_code& failure) {
    if (failure) return;
    for (const HttpConnections* each : {&main, &health}) enforce_deadlines(*each, std::chrono::steady_clock::now());
    watch_deadlines();
  });
}

void HttpServer::State::wait_for_signal(const std::function<void()>& on_signal) {
  signals.async_wait([this, &on_signal](const boost::system::error_code& failure, int) {
    if (failure) return;
    on_signal();
    wait_for_signal(on_signal);
  });
}

HttpServer::HttpServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
HttpServer::~HttpServer() = default;

Result<std::unique_ptr<HttpServer>> HttpServer::listen(const HttpServerOptions& options) {
  auto state = std::make_unique<State>(options);
  if (Status listens = listen_on(state->main_acceptor, options.host, options.port, "--"); !listens) return forward_error(listens);
  if (options.health) {
    Status listens = listen_on(state->health_acceptor, options.health->host, options.health->port, "--health-");
    if (!listens) return forward_error(listens);
  }
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(state)));
}

std::uint16_t HttpServer::port() const {
  boost::system::error_code ignored;
  return state_->main_acceptor.local_endpoint(ignored).port();
}

std::optional<std::uint16_t> HttpServer::health_port() const {
  boost::system::error_code ignored;
  if (!state_->health_acceptor.is_open()) return std::nullopt;
  return state_->health_acceptor.local_endpoint(ignored).port();
}

void HttpServer::post(std::function<void()> work) { asio::post(state_->io, std::move(work)); }

void HttpServer::post_after(std::chrono::milliseconds delay, std::function<void()> work) {
  auto timer = std::make_shared<asio::steady_timer>(state_->io, delay);  // shared with the handler, which ends it
  timer->async_wait([timer, work = std::move(work)](const boost::system::error_code& failure) {
    if (!failure) work();
  });
}

void HttpServer::run(const HttpServices& services) {
  std::signal(SIGPIPE, SIG_IGN);
  for (HttpConnections* each : {&state_->main, &state_->health}) {
    each->routes = &services.routes;
    each->keys = &services.keys;
    each->on_response = services.on_response;
    each->retry_seconds = services.retry_seconds;
  }
  state_->signals.add(SIGTERM);
  state_->signals.add(SIGINT);
  state_->wait_for_signal(services.on_signal);
  state_->watch_deadlines();
  asio::co_spawn(state_->io, state_->accept(state_->main_acceptor, state_->main), asio::detached);
  if (health_port()) asio::co_spawn(state_->io, state_->accept(state_->health_acceptor, state_->health), asio::detached);
  state_->io.run();
}

void HttpServer::stop() { state_->io.stop(); }

void HttpServer::begin_drain() {
  for (HttpConnections* each : {&state_->main, &state_->health}) {
    each->draining = true;
    close_idle_connections(*each);
  }
}

std::size_t HttpServer::exchange_count() const { return state_->main.exchange_count; }

}  // namespace slora
