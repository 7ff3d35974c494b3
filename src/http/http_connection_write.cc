#include <algorithm>
#include <memory>
#include <string>

#include "base/caught.h"
#include "http/http_connection.h"
#include "http/responses.h"

// How a connection answers, and how it notices that its client leaves.
namespace slora {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using SystemError = boost::system::error_code;
using TimePoint = std::chrono::steady_clock::time_point;

// Continues it from the loop of the thread, not from within the call that woke it.
void HttpConnection::wake() {
  if (!waiting_ || std::exchange(is_listed_, true)) return;
  next_awakened_ = std::exchange(shared_.awakened, this);
}

Task<Status> HttpConnection::write(std::string bytes) {
  for (std::size_t begin = 0, end = 0; begin < bytes.size();) {
    if (begin == end) {  // the deadline is per piece, whatever the size of the whole
      end = std::min(begin + kWriteBytes, bytes.size());
      let_within(shared_.limits.write_stall_time);
    }
    const IoResult written = co_await IoWait(
        [&](auto handler) { socket_.async_write_some(asio::buffer(bytes.data() + begin, end - begin), std::move(handler)); });
    if (written.failure) {
      deadline_ = TimePoint::max();
      co_return error(kClosed, "closed");
    }
    begin += written.bytes;
  }
  deadline_ = TimePoint::max();
  co_return Status{};
}

Task<ConnectionUse> HttpConnection::refuse(Error error, ConnectionUse use) {
  if (error.code == kClosed) co_return ConnectionUse::close;
  const std::string methods = error.code == "method_not_allowed" ? std::exchange(error.param, {}) : std::string();
  HttpResponse response = error_response(error);
  if (!methods.empty()) response.headers.emplace_back("Allow", methods);
  retry_time_ = add_retry_after(response, shared_, {}, retry_time_);
  response.headers.insert(response.headers.end(), answer_headers_.begin(), answer_headers_.end());
  if (shared_.on_response) shared_.on_response("", response.status);
  has_answered_ = true;
  if (shared_.draining) use = ConnectionUse::close;
  std::string bytes = format_response_head({response, {}, is_head_ ? BodyForm::left_out : BodyForm::sized, use});
  if (!is_head_) bytes += response.body;
  const Status written = co_await write(std::move(bytes));
  co_return written ? use : ConnectionUse::close;
}

bool HttpConnection::is_preflight(const Parser& parser) const {
  return shared_.cors.is_on() && parser.get().method() == http::verb::options && !header(parser, http::field::origin).empty() &&
         !header(parser, http::field::access_control_request_method).empty();
}

// A browser asks before it sends a page's request. Its path is not looked up: the request itself will be.
Task<ConnectionUse> HttpConnection::answer_preflight(const Parser& parser, ConnectionUse use) {
  const Result<HttpHeaders> allowed =
      shared_.cors.preflight_headers({.origin = header(parser, http::field::origin),
                                      .method = header(parser, http::field::access_control_request_method),
                                      .headers = header(parser, http::field::access_control_request_headers),
                                      .to_private_network = header(parser, "Access-Control-Request-Private-Network") == "true"});
  if (!allowed) co_return co_await refuse(allowed.error(), use);
  HttpResponse response;
  response.content_type = "";
  response.headers = *allowed;
  if (shared_.on_response) shared_.on_response("", response.status);
  has_answered_ = true;
  if (shared_.draining) use = ConnectionUse::close;
  const Status written = co_await write(format_response_head({response, {}, BodyForm::sized, use}));
  co_return written ? use : ConnectionUse::close;
}

// Writes what the exchange holds until it is over.
Task<ConnectionUse> HttpConnection::answer(HttpExchange& exchange) {
  deadline_ = TimePoint::max();
  ConnectionUse next = ConnectionUse::close;
  for (;;) {
    if (exchange.overflowed() || exchange.phase() == HttpExchange::Phase::gone) break;
    if (std::string unsent = exchange.take_unsent(); !unsent.empty()) {
      has_answered_ = true;
      const Status written = co_await write(std::move(unsent));
      if (!written) break;
      continue;
    }
    if (exchange.is_over()) {
      const bool is_whole = exchange.phase() == HttpExchange::Phase::complete;
      next = is_whole ? exchange.use() : ConnectionUse::close;
      break;
    }
    co_await awakening();
    if (std::chrono::steady_clock::now() < probe_at_ || exchange.phase() != HttpExchange::Phase::waiting) continue;
    const Status asked = co_await write(std::string(kContinue));
    if (!asked) break;
    probe_at_ = probe_pause_ < kProbePauseMax ? std::chrono::steady_clock::now() + probe_pause_ : TimePoint::max();
    probe_pause_ *= 4;
  }
  exchange.leave();
  cancel();  // watch_client()
  co_return next;
}

// Detects a client that closes the connection while its answer is being computed. Bytes of its next request are buffered up to a bound;
// beyond that, a disconnect is detected by the next write.
void HttpConnection::watch_client(std::weak_ptr<HttpExchange> watched) {
  socket_.async_wait(tcp::socket::wait_read, [weak = weak_from_this(), watched = std::move(watched)](const SystemError& cancelled) {
    const std::shared_ptr<HttpConnection> self = weak.lock();  // weak: the list of those alive owns it, also when the server ends
    const std::shared_ptr<HttpExchange> exchange = watched.lock();
    if (cancelled || !self || !exchange || exchange->is_over()) return;
    try {
      SystemError failure;
      const std::size_t bytes = self->socket_.read_some(self->buffer_.prepare(kReadBytes), failure);
      self->buffer_.commit(bytes);
      const bool may_read_on = self->is_http_1_1_ || exchange->phase() == HttpExchange::Phase::streaming;
      if (failure == asio::error::eof && may_read_on) {
        self->watch_for_reset(exchange);
      } else if (failure && failure != asio::error::would_block) {
        exchange->leave();
        self->wake();
        self->cancel();
      } else if (self->buffer_.size() < kReadAheadBytesMax) {
        self->watch_client(exchange);
      }
    } catch (...) {  // the next write notices it
      log_exception("whether a client closes its connection is not watched");
    }
  });
}

// The client sends nothing more: it has ended its side and waits for the answer, or it has closed the connection. Which of them shows when
// bytes are sent: a closed socket answers them with a reset. Until the answer begins that is an interim response, which HTTP/1.1 clients
// skip.
void HttpConnection::watch_for_reset(const std::shared_ptr<HttpExchange>& exchange) {
  const auto leave = [weak = weak_from_this(), watched = std::weak_ptr(exchange)](const SystemError& cancelled) {
    const std::shared_ptr<HttpConnection> self = weak.lock();
    const std::shared_ptr<HttpExchange> left = watched.lock();
    if (cancelled || !self || !left || left->is_over()) return;
    left->leave();
    self->wake();
    self->cancel();
  };
  socket_.async_wait(tcp::socket::wait_error, leave);
  probe_at_ = std::chrono::steady_clock::now();
  wake();
}

// Lets the client read the answer: closing with input unread would reset the connection and could discard what was sent.
Task<void> HttpConnection::linger() {
  begin_idle();
  SystemError failure;
  socket_.shutdown(tcp::socket::shutdown_send, failure);
  let_within(std::chrono::seconds(2));
  std::string scratch(kReadBytes, '\0');
  while (!failure) {
    const IoResult read = co_await IoWait([&](auto handler) { socket_.async_read_some(asio::buffer(scratch), std::move(handler)); });
    failure = read.failure;
  }
  deadline_ = TimePoint::max();
}

}  // namespace slora
