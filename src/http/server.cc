#include "http/server.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <utility>
#include <vector>

#include "base/caught.h"
#include "base/log.h"
#include "http/connections.h"
#include "http/mailbox.h"

namespace slora {

namespace asio = boost::asio;
using asio::ip::tcp;
using TimePoint = std::chrono::steady_clock::time_point;

namespace {

constexpr std::size_t kPostedUsualCount = 4096;
constexpr std::size_t kDelayedUsualCount = 64;
constexpr std::chrono::milliseconds kTick(50);

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

// One port, and the connections that come to it.
struct Listener {
  Listener(Door door, const HttpLimits& limits, const CorsOptions& cors, asio::io_context& io)
      : connections(door, limits, Cors(cors)), acceptor(io) {}
  ~Listener() { connections.alive.clear(); }  // their sockets belong to the context

  HttpConnections connections;
  tcp::acceptor acceptor;
  bool is_accepting = false;
  bool has_complained = false;  // that it can't accept
};

// What waits for a time comes from lists here and not from the system's timers, so that nothing is lost for want of memory: whatever throws
// in between, the next tick goes on with it.
struct HttpServer::State {
  explicit State(const HttpServerOptions& options)
      : main(Door::main, options.limits, options.cors, io), health(Door::health, limits_of_health(options.limits), options.cors, io) {
    delayed.reserve(kDelayedUsualCount);
  }

  void run_once();
  void tick(TimePoint now);
  void run_due(TimePoint now);
  void accept(Listener& listener);
  void take_connection(Listener& listener, const boost::system::error_code& failure, tcp::socket socket);
  void wait_for_signal();

  struct Delayed {
    TimePoint time;
    std::function<void()> work;
  };

  std::atomic<bool> is_stopped{false};
  TimePoint next_tick{};
  std::function<void()> on_signal;
  asio::io_context io{1};
  const asio::executor_work_guard<asio::io_context::executor_type> guard{io.get_executor()};  // it waits even if nothing is under way
  Listener main, health;
  // After the listeners, so that they are destroyed first: what was posted and not run holds parts of their memory budgets.
  Mailbox posted{kPostedUsualCount};
  std::vector<Delayed> delayed;
  asio::signal_set signals{io};
  bool is_waiting_for_signal = false;
};

// One event of the system at most, and everything that follows from it.
void HttpServer::State::run_once() {
  TimePoint next = next_tick;
  for (const Delayed& entry : delayed) next = std::min(next, entry.time);
  io.run_one_until(next);
  posted.run_all();
  const TimePoint now = std::chrono::steady_clock::now();
  run_due(now);
  if (now >= next_tick) tick(now);
  for (Listener* listener : {&main, &health}) run_awakened(listener->connections);
}

// One for all connections instead of a timer each: deadlines are seconds away and move with every byte.
void HttpServer::State::tick(TimePoint now) {
  next_tick = now + kTick;
  wait_for_signal();
  for (Listener* listener : {&main, &health}) {
    enforce_deadlines(listener->connections, now);
    accept(*listener);
  }
}

void HttpServer::State::run_due(TimePoint now) {
  for (std::size_t left = delayed.size(); left > 0; --left) {
    const auto due = std::ranges::find_if(delayed, [&](const Delayed& entry) { return entry.time <= now; });
    if (due == delayed.end()) return;
    const std::function<void()> work = std::move(due->work);
    delayed.erase(due);
    work();
  }
}

// One connection after the other. Idle connections make space for new ones, when descriptors run out too. If none is idle, or memory has
// run out, clients wait in the kernel's queue and the next tick tries again.
void HttpServer::State::accept(Listener& listener) {
  const HttpLimits& limits = listener.connections.limits;
  if (listener.is_accepting || !listener.acceptor.is_open()) return;
  const bool is_full = listener.connections.all.size() >= limits.connections_max + limits.connections_reserved;
  if (is_full && !close_oldest_idle(listener.connections, std::chrono::steady_clock::now())) return;
  listener.acceptor.async_accept([this, &listener](const boost::system::error_code& failure, tcp::socket socket) {
    take_connection(listener, failure, std::move(socket));
  });
  listener.is_accepting = true;
}

void HttpServer::State::take_connection(Listener& listener, const boost::system::error_code& failure, tcp::socket socket) {
  HttpConnections& connections = listener.connections;
  listener.is_accepting = false;
  if (failure == asio::error::operation_aborted) return;
  const TimePoint now = std::chrono::steady_clock::now();
  if (!failure) {
    listener.has_complained = false;
    if (connections.all.size() >= connections.limits.connections_max) (void)close_oldest_idle(connections, now);
    start_connection(std::move(socket), connections);
    return accept(listener);
  }
  const bool has_made_space = failure == asio::error::no_descriptors && close_oldest_idle(connections, now);
  if (has_made_space || failure == asio::error::connection_aborted) return accept(listener);
  if (!std::exchange(listener.has_complained, true)) log_warning("can't accept connections for now: {}", failure.message());
}

void HttpServer::State::wait_for_signal() {
  if (is_waiting_for_signal) return;
  signals.async_wait([this](const boost::system::error_code& failure, int) {
    is_waiting_for_signal = false;
    if (!failure) on_signal();
  });
  is_waiting_for_signal = true;
}

HttpServer::HttpServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
HttpServer::~HttpServer() = default;

Result<std::unique_ptr<HttpServer>> HttpServer::listen(const HttpServerOptions& options) {
  auto state = std::make_unique<State>(options);
  if (Status listens = listen_on(state->main.acceptor, options.host, options.port, "--"); !listens) return forward_error(listens);
  if (options.health) {
    Status listens = listen_on(state->health.acceptor, options.health->host, options.health->port, "--health-");
    if (!listens) return forward_error(listens);
  }
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(state)));
}

std::uint16_t HttpServer::port() const {
  boost::system::error_code ignored;
  return state_->main.acceptor.local_endpoint(ignored).port();
}

std::optional<std::uint16_t> HttpServer::health_port() const {
  boost::system::error_code ignored;
  if (!state_->health.acceptor.is_open()) return std::nullopt;
  return state_->health.acceptor.local_endpoint(ignored).port();
}

void HttpServer::post(std::function<void()> work) {
  if (!state_->posted.push(std::move(work))) return;
  try {
    asio::post(state_->io, [] {});
  } catch (...) {  // then the next tick runs it
    log_exception("a thread was not woken at once");
  }
}

void HttpServer::post_after(std::chrono::milliseconds delay, std::function<void()> work) {
  state_->delayed.push_back({std::chrono::steady_clock::now() + delay, std::move(work)});
}

void HttpServer::run(const HttpServices& services) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGCHLD, SIG_DFL);  // who started this program may have ignored it; then no end of a program that fetches could be seen
  State& state = *state_;
  for (Listener* listener : {&state.main, &state.health}) {
    HttpConnections& connections = listener->connections;
    connections.routes = &services.routes;
    connections.keys = &services.keys;
    connections.on_response = services.on_response;
    connections.retry_time = services.retry_time;
  }
  state.on_signal = services.on_signal;
  state.signals.add(SIGTERM);
  state.signals.add(SIGINT);
  while (!state.is_stopped) {
    try {
      state.run_once();
    } catch (...) {
      log_exception("something failed in the loop of the connections");
    }
  }
}

void HttpServer::stop() {
  state_->is_stopped = true;
  state_->io.stop();
}

void HttpServer::begin_drain() {
  for (Listener* listener : {&state_->main, &state_->health}) {
    listener->connections.draining = true;
    close_idle_connections(listener->connections);
  }
}

std::size_t HttpServer::request_memory_bytes() const { return state_->main.connections.memory.held_bytes(); }

std::size_t HttpServer::exchange_count() const { return state_->main.connections.exchange_count; }

}  // namespace slora
