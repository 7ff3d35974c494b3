#include "http/connection.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <exception>
#include <memory>
#include <string>

#include "base/log.h"
#include "http/body_decoder.h"
#include "http/exchange.h"
#include "http/responses.h"

namespace slora {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using SystemError = boost::system::error_code;
using TimePoint = std::chrono::steady_clock::time_point;

// The exchange may outlive the connection: on every way out it must stop waking it.
struct Detach {
  HttpExchange& exchange;
  ~Detach() { exchange.detach(); }
};

// One client. Owned by its own coroutine; I/O thread.
class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(tcp::socket socket, HttpConnections& shared)
      : shared_(shared),
        keyless_client_{kKeylessClient + shared.accepted_count++},
        socket_(std::move(socket)),
        wake_(socket_.get_executor()) {
    shared_.all.insert(this);
  }
  ~HttpConnection() { shared_.all.erase(this); }
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  // `self` lives in the coroutine's frame, which begins to run later.
  asio::awaitable<void> serve(std::shared_ptr<HttpConnection> self);

  void enforce_deadline(TimePoint now) {
    if (now < deadline_) return;
    timed_out_ = true;
    cancel();
  }
  void close_if_idle() {
    if (idle_) cancel();
  }

 private:
  using Parser = http::request_parser<http::string_body>;
  static constexpr std::uint64_t kKeylessClient = std::uint64_t{1} << 32;  // the ids of tenants are below
  static constexpr std::size_t kReadBytes = 16 << 10;
  static constexpr std::size_t kWriteBytes = 64 << 10;
  static constexpr std::size_t kReadAheadBytesMax = 64 << 10;

  static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

  static constexpr std::chrono::seconds kFirstProbePause{1};
  static constexpr std::chrono::seconds kProbePauseMax{256};  // so that one request has five at most: clients bound how many they skip

  // Error code when the client has left and nobody can be answered.
  static constexpr const char* kClosed = "closed";

  asio::awaitable<ConnectionUse> serve_request();
  asio::awaitable<Status> read_head();
  asio::awaitable<Status> read_body(const Parser& parser, BodyDecoder& decoder, BodyReservation& reservation);
  asio::awaitable<Status> read_more();
  asio::awaitable<Status> write(std::string bytes);
  asio::awaitable<ConnectionUse> refuse(Error error, ConnectionUse use);
  asio::awaitable<ConnectionUse> answer(HttpExchange& exchange);
  asio::awaitable<void> linger();

  Result<const Route*> find_route(const Parser& parser);
  static std::string rest_of_path(const Parser& parser, const Route& route);
  void watch_client(std::weak_ptr<HttpExchange> watched);
  void watch_for_reset(const std::shared_ptr<HttpExchange>& exchange);
  void let_within(std::chrono::steady_clock::duration time) { deadline_ = std::chrono::steady_clock::now() + time; }
  void cancel() {
    SystemError ignored;
    socket_.cancel(ignored);
  }
  [[nodiscard]] Error too_large() const {
    return {"request_too_large", fmt::format("The request's body is longer than {} bytes.", shared_.limits.body_bytes_max), {}};
  }
  [[nodiscard]] static Error bodies_full() {
    return {"queue_full", "The server holds as many request bodies as it may; try again soon.", {}};
  }
  [[nodiscard]] std::string_view buffered() const { return {static_cast<const char*>(buffer_.data().data()), buffer_.size()}; }

  [[nodiscard]] ClientId client() const { return caller_.tenant == TenantId{} ? keyless_client_ : ClientId{caller_.tenant.value}; }

  HttpConnections& shared_;
  const ClientId keyless_client_;  // of this connection
  tcp::socket socket_;
  asio::steady_timer wake_;  // cancelled to wake the coroutine when the exchange has bytes to write
  boost::beast::flat_buffer buffer_;
  TimePoint deadline_ = TimePoint::max();
  bool timed_out_ = false;
  bool idle_ = false;     // waiting for a request's first byte
  bool is_head_ = false;  // the request's method, once it is known
  bool is_http_1_1_ = false;
  TimePoint probe_at_ = TimePoint::max();  // when a client that sends nothing more is next asked whether it is there
  std::chrono::seconds probe_pause_ = kFirstProbePause;
  Caller caller_;  // who sent it, once it is known
};

asio::awaitable<void> HttpConnection::serve([[maybe_unused]] std::shared_ptr<HttpConnection> self) {
  SystemError ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
  socket_.non_blocking(true, ignored);
  while (co_await serve_request() == ConnectionUse::keep_alive && !shared_.draining) {
  }
  co_await linger();
  socket_.close(ignored);
}

asio::awaitable<ConnectionUse> HttpConnection::serve_request() {
  is_head_ = false;
  probe_at_ = TimePoint::max();
  probe_pause_ = kFirstProbePause;
  const Status head = co_await read_head();
  if (!head) co_return co_await refuse(head.error(), ConnectionUse::close);

  Parser parser;
  parser.header_limit(static_cast<std::uint32_t>(shared_.limits.head_bytes_max));
  parser.body_limit(shared_.limits.body_bytes_max);
  SystemError failure;
  buffer_.consume(parser.put(buffer_.data(), failure));
  if (failure == http::error::body_limit) {
    co_return co_await refuse(too_large(), ConnectionUse::close);
  }
  if (failure || !parser.is_header_done()) {
    Error broken{"bad_request", "The request's head is not HTTP/1.1.", {}};
    co_return co_await refuse(std::move(broken), ConnectionUse::close);
  }

  is_head_ = parser.get().method() == http::verb::head;
  is_http_1_1_ = parser.get().version() == 11;
  const ConnectionUse use = parser.get().keep_alive() ? ConnectionUse::keep_alive : ConnectionUse::close;
  const Result<const Route*> route = find_route(parser);
  if (!route) {
    const bool has_body = parser.chunked() || parser.content_length().value_or(0) > 0;
    co_return co_await refuse(route.error(), has_body ? ConnectionUse::close : use);
  }
  std::unique_ptr<BodyReservation> reservation = BodyReservation::try_take(shared_, parser.content_length().value_or(0));
  if (!reservation) co_return co_await refuse(bodies_full(), ConnectionUse::close);
  BodyDecoder decoder =
      parser.chunked() ? BodyDecoder::of_chunks(shared_.limits) : BodyDecoder::of_size(parser.content_length().value_or(0), shared_.limits);
  const Status body = co_await read_body(parser, decoder, *reservation);
  if (!body) co_return co_await refuse(body.error(), ConnectionUse::close);

  const auto field = [&](http::field name) {
    const auto value = parser.get()[name];
    return std::string(value.data(), value.size());
  };
  const auto request_id = parser.get()["x-request-id"];
  HttpRequest request{.method = std::string((*route)->method),
                      .path = std::string((*route)->path),
                      .path_rest = rest_of_path(parser, **route),
                      .content_type = field(http::field::content_type),
                      .request_id = clean_request_id({request_id.data(), request_id.size()}),
                      .body = std::move(decoder.body()),
                      .tenant = caller_.tenant,
                      .client = client(),
                      .access = caller_.access};
  const BodyForm stream_form = is_http_1_1_ ? BodyForm::chunked : BodyForm::until_close;
  const BodyForm form = is_head_ ? BodyForm::left_out : stream_form;
  // Shared with the handler: either may release it first.
  const auto exchange =
      std::make_shared<HttpExchange>(std::move(request), std::move(reservation), form, shared_, [this] { wake_.cancel(); });
  const Detach detach{*exchange};
  exchange->set_use(use);
  watch_client(exchange);
  (*route)->handler(exchange);
  co_return co_await answer(*exchange);
}

// Leaves a complete and checked head at the start of the buffer.
asio::awaitable<Status> HttpConnection::read_head() {
  idle_ = buffer_.size() == 0;
  let_within(idle_ ? std::chrono::seconds(shared_.limits.keep_alive_time) : shared_.limits.head_time);
  for (;;) {
    const std::optional<std::size_t> end = find_head_end(buffered());
    if (end.value_or(buffer_.size()) > shared_.limits.head_bytes_max) {
      co_return error("head_too_large", "The request's head is longer than {} bytes.", shared_.limits.head_bytes_max);
    }
    if (end) co_return check_request_head(buffered().substr(0, *end), shared_.limits);
    const Status more = co_await read_more();
    if (!more) co_return more;
    if (std::exchange(idle_, false)) let_within(shared_.limits.head_time);
  }
}

asio::awaitable<Status> HttpConnection::read_body(const Parser& parser, BodyDecoder& decoder, BodyReservation& reservation) {
  const auto expectation = parser.get()[http::field::expect];
  const bool waits = equal_ignoring_case({expectation.data(), expectation.size()}, "100-continue");
  if (waits && buffer_.size() == 0) {
    const Status written = co_await write(std::string(kContinue));
    if (!written) co_return written;
  }
  const TimePoint begin = std::chrono::steady_clock::now();
  std::size_t received_bytes = 0;
  while (!decoder.is_done()) {
    if (buffer_.size() == 0) {
      const std::chrono::seconds allowance(received_bytes / shared_.limits.body_bytes_per_second_min);
      const TimePoint too_slow = begin + shared_.limits.body_idle_time + allowance;
      deadline_ = std::min(too_slow, std::chrono::steady_clock::now() + shared_.limits.body_idle_time);
      const Status more = co_await read_more();
      if (!more) co_return more;
    }
    const Result<std::size_t> taken = decoder.take(buffered());
    if (!taken) co_return tl::unexpected(taken.error());
    buffer_.consume(*taken);
    received_bytes += *taken;
    if (!reservation.try_grow_to(decoder.body().size())) co_return tl::unexpected<Error>(bodies_full());
  }
  co_return Status{};
}

asio::awaitable<Status> HttpConnection::read_more() {
  timed_out_ = false;
  SystemError failure;
  const std::size_t bytes =
      co_await socket_.async_read_some(buffer_.prepare(kReadBytes), asio::redirect_error(asio::use_awaitable, failure));
  deadline_ = failure ? TimePoint::max() : deadline_;
  if (failure && timed_out_ && !idle_) co_return error("request_timeout", "The request came too slowly.");
  if (failure) co_return error(kClosed, "closed");
  buffer_.commit(bytes);
  co_return Status{};
}

asio::awaitable<Status> HttpConnection::write(std::string bytes) {
  SystemError failure;
  for (std::string_view rest = bytes; !rest.empty() && !failure;) {  // the deadline is per piece, whatever the size of the whole
    let_within(shared_.limits.write_stall_time);
    const std::string_view piece = rest.substr(0, kWriteBytes);
    co_await asio::async_write(socket_, asio::buffer(piece), asio::redirect_error(asio::use_awaitable, failure));
    rest.remove_prefix(piece.size());
  }
  deadline_ = TimePoint::max();
  if (failure) co_return error(kClosed, "closed");
  co_return Status{};
}

asio::awaitable<ConnectionUse> HttpConnection::refuse(Error error, ConnectionUse use) {
  if (error.code == kClosed) co_return ConnectionUse::close;
  const std::string methods = error.code == "method_not_allowed" ? std::exchange(error.param, {}) : std::string();
  HttpResponse response = error_response(error);
  if (!methods.empty()) response.headers.emplace_back("Allow", methods);
  if (shared_.on_response) shared_.on_response("", response.status);
  if (shared_.draining) use = ConnectionUse::close;
  std::string bytes = format_response_head({response, {}, is_head_ ? BodyForm::left_out : BodyForm::sized, use});
  if (!is_head_) bytes += response.body;
  const Status written = co_await write(std::move(bytes));
  co_return written ? use : ConnectionUse::close;
}

Result<const Route*> HttpConnection::find_route(const Parser& parser) {
  const auto& head = parser.get();
  Result<const Route*> route = shared_.routes->find({head.method_string().data(), head.method_string().size()},
                                                    path_of({head.target().data(), head.target().size()}));
  if (!route) return route;
  const auto authorization = head[http::field::authorization];
  const auto host = head[http::field::host];
  Result<Caller> caller = shared_.keys->admit((*route)->role, {authorization.data(), authorization.size()}, {host.data(), host.size()});
  if (!caller) return forward_error(caller);
  caller_ = std::move(*caller);
  return route;
}

std::string HttpConnection::rest_of_path(const Parser& parser, const Route& route) {
  const auto target = parser.get().target();
  return std::string(path_of({target.data(), target.size()}).substr(route.fixed_path().size()));
}

// Writes what the exchange holds until it is over.
asio::awaitable<ConnectionUse> HttpConnection::answer(HttpExchange& exchange) {
  ++shared_.exchange_count;
  deadline_ = TimePoint::max();
  ConnectionUse next = ConnectionUse::close;
  for (;;) {
    if (exchange.overflowed() || exchange.phase() == HttpExchange::Phase::gone) break;
    if (std::string unsent = exchange.take_unsent(); !unsent.empty()) {
      const Status written = co_await write(std::move(unsent));
      if (!written) break;
      continue;
    }
    if (exchange.is_over()) {
      const bool is_whole = exchange.phase() == HttpExchange::Phase::complete;
      next = is_whole ? exchange.use() : ConnectionUse::close;
      break;
    }
    SystemError woken;
    wake_.expires_at(probe_at_);
    co_await wake_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    if (woken || exchange.phase() != HttpExchange::Phase::waiting) continue;
    const Status asked = co_await write(std::string(kContinue));
    if (!asked) break;
    probe_at_ = probe_pause_ < kProbePauseMax ? std::chrono::steady_clock::now() + probe_pause_ : TimePoint::max();
    probe_pause_ *= 4;
  }
  exchange.leave();
  cancel();  // watch_client()
  --shared_.exchange_count;
  co_return next;
}

// Detects a client that closes the connection while its answer is being computed. Bytes of its next request are buffered up to a bound;
// beyond that, a disconnect is detected by the next write.
void HttpConnection::watch_client(std::weak_ptr<HttpExchange> watched) {
  socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this(), watched = std::move(watched)](const SystemError& cancelled) {
    const std::shared_ptr<HttpExchange> exchange = watched.lock();
    if (cancelled || !exchange || exchange->is_over()) return;
    SystemError failure;
    const std::size_t bytes = self->socket_.read_some(self->buffer_.prepare(kReadBytes), failure);
    self->buffer_.commit(bytes);
    const bool may_read_on = self->is_http_1_1_ || exchange->phase() == HttpExchange::Phase::streaming;
    if (failure == asio::error::eof && may_read_on) {
      self->watch_for_reset(exchange);
    } else if (failure && failure != asio::error::would_block) {
      exchange->leave();
      self->wake_.cancel();
      self->cancel();
    } else if (self->buffer_.size() < kReadAheadBytesMax) {
      self->watch_client(exchange);
    }
  });
}

// The client sends nothing more: it has ended its side and waits for the answer, or it has closed the connection. Which of them shows when
// bytes are sent: a closed socket answers them with a reset. Until the answer begins that is an interim response, which HTTP/1.1 clients
// skip.
void HttpConnection::watch_for_reset(const std::shared_ptr<HttpExchange>& exchange) {
  const auto leave = [self = shared_from_this(), watched = std::weak_ptr(exchange)](const SystemError& cancelled) {
    const std::shared_ptr<HttpExchange> left = watched.lock();
    if (cancelled || !left || left->is_over()) return;
    left->leave();
    self->wake_.cancel();
    self->cancel();
  };
  socket_.async_wait(tcp::socket::wait_error, leave);
  probe_at_ = std::chrono::steady_clock::now();
  wake_.cancel();
}

// Lets the client read the answer: closing with input unread would reset the connection and could discard what was sent.
asio::awaitable<void> HttpConnection::linger() {
  SystemError failure;
  socket_.shutdown(tcp::socket::shutdown_send, failure);
  let_within(std::chrono::seconds(2));
  std::string scratch(kReadBytes, '\0');
  while (!failure) {
    co_await socket_.async_read_some(asio::buffer(scratch), asio::redirect_error(asio::use_awaitable, failure));
  }
  deadline_ = TimePoint::max();
}

void start_connection(asio::io_context& io, tcp::socket socket, HttpConnections& shared) {
  const auto connection = std::make_shared<HttpConnection>(std::move(socket), shared);
  asio::co_spawn(io, connection->serve(connection), [](const std::exception_ptr& thrown) {
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const std::exception& exception) {
      log_error("a connection ended by an exception: {}", exception.what());
    }
  });
}

void enforce_deadlines(const HttpConnections& shared, TimePoint now) {
  for (HttpConnection* connection : shared.all) connection->enforce_deadline(now);
}

void close_idle_connections(const HttpConnections& shared) {
  for (HttpConnection* connection : shared.all) connection->close_if_idle();
}

}  // namespace slora
