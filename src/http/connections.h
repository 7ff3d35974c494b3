#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "base/byte_budget.h"
#include "http/cors.h"
#include "http/key_ring.h"
#include "http/limits.h"
#include "http/refused_request.h"
#include "http/routes.h"

namespace slora {

class HttpConnection;

// Which port connections come to.
enum class Door : std::uint8_t { main, health };

// What the connections of one server share. Owned by the server; I/O thread.
struct HttpConnections {
  HttpConnections(Door given_door, const HttpLimits& given_limits, Cors given_cors)
      : door(given_door), limits(given_limits), cors(std::move(given_cors)), memory(given_limits.request_memory_bytes) {}

  const Door door;
  const HttpLimits limits;
  const Cors cors;
  const RouteTable* routes = nullptr;
  const KeyRing* keys = nullptr;
  std::function<void(std::string_view path, int status)> on_response;
  RetryTime retry_time;  // for Retry-After; empty: at once, which is a second

  ByteBudget memory;                                 // of all requests
  std::list<std::shared_ptr<HttpConnection>> alive;  // until their coroutine has ended; shared with operations under way
  HttpConnection* awakened = nullptr;                // list of those whose exchange has something to write
  HttpConnection* finished = nullptr;                // list of those whose coroutine has ended
  std::unordered_set<HttpConnection*> all;           // each adds and removes itself, as in the list below
  std::list<HttpConnection*> idle;  // those that wait for a request or for its head, or that are being closed; by since when
  std::size_t exchange_count = 0;
  std::uint64_t accepted_count = 0;
  bool draining = false;
};

// Serves the requests of one client, one after the other.
void start_connection(boost::asio::ip::tcp::socket socket, HttpConnections& shared);
// Continues the connections that were awakened and destroys those that are over. Called after everything that may wake one.
void run_awakened(HttpConnections& shared);
// Ends connections whose deadline has passed. Called several times a second.
void enforce_deadlines(const HttpConnections& shared, std::chrono::steady_clock::time_point now);
// Closes the connection that has waited longest for a request or for the rest of its head, to make space for another; false where none has
// waited for 100 ms.
[[nodiscard]] bool close_oldest_idle(HttpConnections& shared, std::chrono::steady_clock::time_point now);
// Closes the connections that wait for a request.
void close_idle_connections(const HttpConnections& shared);

}  // namespace slora
