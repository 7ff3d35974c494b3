#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <string_view>
#include <unordered_set>
#include <utility>  // Boost 1.74's coroutines use std::exchange without it

#include "http/key_ring.h"
#include "http/limits.h"
#include "http/routes.h"

namespace slora {

class HttpConnection;

// What the connections of one server share. Owned by the server; I/O thread.
struct HttpConnections {
  explicit HttpConnections(const HttpLimits& given) : limits(given) {}

  const HttpLimits limits;
  const RouteTable* routes = nullptr;
  const KeyRing* keys = nullptr;
  std::function<void(std::string_view path, int status)> on_response;

  std::unordered_set<HttpConnection*> all;  // each adds and removes itself
  std::size_t exchange_count = 0;
  std::size_t bodies_bytes = 0;
  std::uint64_t accepted_count = 0;
  bool draining = false;
};

// Serves the requests of one client, one after the other. The connection keeps itself alive until it is closed.
void start_connection(boost::asio::io_context& io, boost::asio::ip::tcp::socket socket, HttpConnections& shared);
// Ends connections whose deadline has passed. Called several times a second.
void enforce_deadlines(const HttpConnections& shared, std::chrono::steady_clock::time_point now);
// Closes the connections that wait for a request.
void close_idle_connections(const HttpConnections& shared);

}  // namespace slora
