#include <algorithm>
#include <exception>
#include <memory>
#include <string>

#include "base/caught.h"
#include "http/connections.h"
#include "http/http_connection.h"

namespace slora {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using SystemError = boost::system::error_code;
using TimePoint = std::chrono::steady_clock::time_point;

namespace {

// Counts an exchange while it lives. It may outlive the connection: on every way out it must stop waking it. Where the way out is an
// exception, nobody reads its answer any more.
class AttachedExchange {
 public:
  AttachedExchange(HttpExchange& exchange, std::size_t& count) : exchange_(exchange), count_(count) { ++count_; }
  ~AttachedExchange() {
    exchange_.detach();
    if (std::uncaught_exceptions() > exceptions_) exchange_.leave();
    --count_;
  }
  AttachedExchange(const AttachedExchange&) = delete;
  AttachedExchange& operator=(const AttachedExchange&) = delete;

 private:
  HttpExchange& exchange_;
  std::size_t& count_;
  const int exceptions_ = std::uncaught_exceptions();
};

}  // namespace

// Whose memory a request without a key takes: its address's, or for IPv6 its network's, of which one peer may have all addresses.
ClientId HttpConnection::client_of_address(const tcp::socket& socket) {
  constexpr std::uint64_t version_4 = std::uint64_t{1} << 33, version_6 = std::uint64_t{1} << 63;
  SystemError unknown;
  asio::ip::address address = socket.remote_endpoint(unknown).address();
  if (address.is_v6() && address.to_v6().is_v4_mapped()) address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  if (address.is_v4()) return ClientId{version_4 | address.to_v4().to_uint()};
  std::uint64_t network = 0;
  const asio::ip::address_v6::bytes_type bytes = address.to_v6().to_bytes();
  for (std::size_t i = 0; i < sizeof network; ++i) network = network << 8 | bytes[i];
  return ClientId{version_6 | network};
}

Task<void> HttpConnection::serve() {
  try {
    SystemError ignored;
    socket_.set_option(tcp::no_delay(true), ignored);
    socket_.non_blocking(true, ignored);
    while (co_await serve_request() == ConnectionUse::keep_alive && !shared_.draining) {
    }
    co_await linger();
  } catch (...) {
    log_exception("a connection was closed");
  }
  finish();
}

void HttpConnection::finish() {
  SystemError ignored;
  socket_.close(ignored);
  next_finished_ = std::exchange(shared_.finished, this);
}

// The next request; where an exception ends it, its answer is an error.
Task<ConnectionUse> HttpConnection::serve_request() {
  Error failure;
  try {
    has_answered_ = false;
    co_return co_await read_and_answer();
  } catch (...) {
    log_exception("a request failed");
    failure = error_of_exception();
  }
  end_idle();
  if (has_answered_) co_return ConnectionUse::close;
  co_return co_await refuse(std::move(failure), ConnectionUse::close);
}

Task<ConnectionUse> HttpConnection::read_and_answer() {
  is_head_ = false;
  body_bytes_max_ = shared_.limits.body_bytes_max;
  answer_headers_.clear();
  probe_at_ = TimePoint::max();
  probe_pause_ = kFirstProbePause;
  begin_idle();
  const Status head = co_await read_head();
  end_idle();
  if (!head) co_return co_await refuse(head.error(), ConnectionUse::close);

  Parser parser;
  parser.header_limit(static_cast<std::uint32_t>(shared_.limits.head_bytes_max));
  parser.body_limit(std::max(shared_.limits.body_bytes_max, shared_.limits.large_body_bytes_max));
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
  answer_headers_ = shared_.cors.answer_headers(header(parser, http::field::origin));
  const bool has_body = parser.chunked() || parser.content_length().value_or(0) > 0;
  if (is_preflight(parser)) co_return co_await answer_preflight(parser, has_body ? ConnectionUse::close : use);
  const Result<Admitted> admitted = admit(parser);
  if (!admitted) co_return co_await refuse(admitted.error(), has_body ? ConnectionUse::close : use);
  const Route& route = *admitted->route;
  body_bytes_max_ = route.body_size == BodySize::large ? shared_.limits.large_body_bytes_max : shared_.limits.body_bytes_max;
  // Many clients send an empty JSON object with every POST.
  constexpr std::uint64_t kIgnoredBytesMax = 64;
  const bool is_ignored = route.method == "POST" && !parser.chunked() && parser.content_length().value_or(0) <= kIgnoredBytesMax;
  if (has_body && route.about.body == nullptr && !is_ignored) {
    Error unexpected{"body_not_expected", "This path takes no body; send none.", {}};
    co_return co_await refuse(std::move(unexpected), ConnectionUse::close);
  }
  ByteReservation memory = shared_.memory.reservation_for(payer_of(admitted->caller));
  if (parser.content_length().value_or(0) > body_bytes_max_) co_return co_await refuse(too_large(), ConnectionUse::close);
  BodyDecoder decoder = parser.chunked() ? BodyDecoder::of_chunks(shared_.limits, body_bytes_max_)
                                         : BodyDecoder::of_size(parser.content_length().value_or(0), shared_.limits);
  const Status body = co_await read_body(parser, decoder, memory);
  if (!body) co_return co_await refuse(body.error(), ConnectionUse::close);

  HttpRequest request = request_of(parser, *admitted, std::move(decoder.body()));
  const BodyForm stream_form = is_http_1_1_ ? BodyForm::chunked : BodyForm::until_close;
  const BodyForm form = is_head_ ? BodyForm::left_out : stream_form;
  // Shared with the handler: either may release it first.
  const auto exchange = std::make_shared<HttpExchange>(std::move(request), std::move(memory), form, shared_, [this] { wake(); });
  const AttachedExchange attached(*exchange, shared_.exchange_count);
  exchange->set_use(use);
  exchange->set_headers(std::move(answer_headers_));
  exchange->set_retry_time(retry_time_);
  watch_client(exchange);
  route.handler(exchange);
  const ConnectionUse next = co_await answer(*exchange);
  retry_time_ = exchange->retry_time();
  co_return next;
}

// Leaves a complete and checked head at the start of the buffer.
Task<Status> HttpConnection::read_head() {
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

Task<Status> HttpConnection::read_body(const Parser& parser, BodyDecoder& decoder, ByteReservation& memory) {
  if (equal_ignoring_case(header(parser, http::field::expect), "100-continue") && buffer_.size() == 0) {
    const Status written = co_await write(std::string(kContinue));
    if (!written) co_return written;
  }
  const TimePoint begin = std::chrono::steady_clock::now();
  while (!decoder.is_done()) {
    if (buffer_.size() == 0) {
      // By the body's own bytes: those of the chunked coding may be many more.
      const std::chrono::seconds allowance(decoder.body().size() / shared_.limits.body_bytes_per_second_min);
      const TimePoint too_slow = begin + shared_.limits.body_idle_time + allowance;
      deadline_ = std::min(too_slow, std::chrono::steady_clock::now() + shared_.limits.body_idle_time);
      const Status more = co_await read_more();
      if (!more) co_return more;
    }
    if (Status space = make_space(parser, decoder, memory); !space) co_return space;
    const Result<std::size_t> taken = decoder.take(buffered());
    if (!taken) co_return tl::unexpected(taken.error());
    buffer_.consume(*taken);
  }
  co_return Status{};
}

// Memory for the bytes at hand, in steps that double: what came is paid for, not what the head announces.
Status HttpConnection::make_space(const Parser& parser, BodyDecoder& decoder, ByteReservation& memory) const {
  const std::size_t needed = std::min(decoder.body().size() + buffer_.size(), body_bytes_max_);
  if (needed <= memory.bytes()) return {};
  const std::size_t announced = std::max<std::size_t>(parser.content_length().value_or(body_bytes_max_), needed);
  const std::size_t wanted = std::min(std::max({needed, 2 * memory.bytes(), kBodyStepBytes}), announced);
  if (Status taken = memory.grow_to(wanted); !taken) return taken;
  decoder.body().reserve(wanted);
  return {};
}

Task<Status> HttpConnection::read_more() {
  timed_out_ = false;
  const auto [failure, bytes] =
      co_await IoWait([this](auto handler) { socket_.async_read_some(buffer_.prepare(kReadBytes), std::move(handler)); });
  deadline_ = failure ? TimePoint::max() : deadline_;
  if (failure && timed_out_ && !idle_) co_return error("request_timeout", "The request came too slowly.");
  if (failure) co_return error(kClosed, "closed");
  buffer_.commit(bytes);
  co_return Status{};
}

Result<Admitted> HttpConnection::admit(const Parser& parser) {
  const auto& head = parser.get();
  const GateHead parts{.method = {head.method_string().data(), head.method_string().size()},
                       .target = {head.target().data(), head.target().size()},
                       .authorization = header(parser, http::field::authorization),
                       .host = header(parser, http::field::host),
                       .origin = header(parser, http::field::origin)};
  const Result<Admitted> admitted = admit_request(shared_, parts);
  if (!admitted) return admitted;
  if (admitted->route->doors == Doors::every || has_place()) return admitted;
  return error("connections_full", "All connections of the server are in use; try again soon.");
}

// Those that were too young to make place when this one came may be old enough now.
bool HttpConnection::has_place() {
  is_reserved_ =
      is_reserved_ && shared_.all.size() > shared_.limits.connections_max && !close_oldest_idle(shared_, std::chrono::steady_clock::now());
  return !is_reserved_;
}

std::string HttpConnection::rest_of_path(const Parser& parser, const Route& route) {
  const auto target = parser.get().target();
  return std::string(path_of({target.data(), target.size()}).substr(route.fixed_path().size()));
}

HttpRequest HttpConnection::request_of(const Parser& parser, const Admitted& admitted, std::string body) const {
  const Route& route = *admitted.route;
  return {.method = std::string(route.method),
          .path = std::string(route.path),
          .path_rest = rest_of_path(parser, route),
          .content_type = std::string(header(parser, http::field::content_type)),
          .request_id = clean_request_id(header(parser, "x-request-id")),
          .body = std::move(body),
          .tenant = admitted.caller.tenant,
          .client = client_of(admitted.caller),
          .access = admitted.caller.access,
          .quota = admitted.caller.quota,
          .is_trusted = admitted.is_trusted,
          .query = query_of(parser),
          .traceparent = joined_header(parser, "traceparent"),
          .tracestate = joined_header(parser, "tracestate"),
          .accept = shared_.door == Door::main ? std::string(header(parser, http::field::accept)) : std::string(),
          .if_none_match = std::string(header(parser, http::field::if_none_match))};
}

// Of headers of one name, which are the same as one with commas.
std::string HttpConnection::joined_header(const Parser& parser, std::string_view name) {
  std::string joined;
  const auto [begin, end] = parser.get().equal_range(boost::beast::string_view(name.data(), name.size()));
  for (auto field = begin; field != end; ++field) {
    if (field != begin) joined += ',';
    joined += std::string_view(field->value().data(), field->value().size());
  }
  return joined;
}

std::string HttpConnection::query_of(const Parser& parser) {
  const std::string_view target(parser.get().target().data(), parser.get().target().size());
  const std::size_t path_bytes = path_of(target).size();
  return std::string(target.substr(std::min(path_bytes + 1, target.size())));
}

void start_connection(tcp::socket socket, HttpConnections& shared) {
  const auto place = shared.alive.insert(shared.alive.end(), nullptr);
  try {
    *place = std::make_shared<HttpConnection>(std::move(socket), shared);
    (*place)->start(place);
  } catch (...) {
    shared.alive.erase(place);
    throw;
  }
}

void run_awakened(HttpConnections& shared) {
  while (HttpConnection* const connection = shared.awakened) {
    shared.awakened = std::exchange(connection->next_awakened_, nullptr);
    connection->is_listed_ = false;
    if (connection->waiting_) std::exchange(connection->waiting_, nullptr).resume();
  }
  while (HttpConnection* const connection = shared.finished) {
    shared.finished = std::exchange(connection->next_finished_, nullptr);
    shared.alive.erase(connection->alive_);
  }
}

void enforce_deadlines(const HttpConnections& shared, TimePoint now) {
  for (HttpConnection* connection : shared.all) connection->enforce_deadline(now);
}

bool close_oldest_idle(HttpConnections& shared, TimePoint now) {
  const auto oldest = std::ranges::find_if(shared.idle, [&](const HttpConnection* connection) { return connection->may_be_closed(now); });
  if (oldest == shared.idle.end()) return false;
  (*oldest)->close_now();
  return true;
}

void close_idle_connections(const HttpConnections& shared) {
  for (HttpConnection* connection : shared.all) connection->close_if_idle();
}

}  // namespace slora
