#pragma once
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "http/body_decoder.h"
#include "http/connections.h"
#include "http/exchange.h"
#include "http/request_gate.h"
#include "http/task.h"

namespace slora {

// One client. Owned by the shared state until its coroutine has ended; I/O thread.
class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
  using Tcp = boost::asio::ip::tcp;
  using SystemError = boost::system::error_code;
  using TimePoint = std::chrono::steady_clock::time_point;

 public:
  HttpConnection(Tcp::socket socket, HttpConnections& shared)
      : shared_(shared),
        keyless_client_{kKeylessClient + shared.accepted_count++},
        address_client_(client_of_address(socket)),
        is_reserved_(shared.all.size() >= shared.limits.connections_max),
        socket_(std::move(socket)) {
    shared_.all.insert(this);
  }
  ~HttpConnection() {
    end_idle();
    shared_.all.erase(this);
  }
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  // `place`: its own among the shared ones.
  void start(std::list<std::shared_ptr<HttpConnection>>::iterator place) {
    alive_ = place;
    serving_ = serve();
    serving_.start();
  }

  void enforce_deadline(TimePoint now) {
    if (now >= probe_at_) wake();
    if (now < deadline_) return;
    timed_out_ = true;
    cancel();
  }
  void close_if_idle() {
    if (idle_) cancel();
  }
  // Of a connection in the list of idle ones. The byte of a head that never ends earns no more time than none.
  [[nodiscard]] bool may_be_closed(TimePoint now) const { return now >= idle_since_ + kFreshTime; }
  // Requires: it is idle. Its coroutine ends soon after; what it was about to read or send is lost.
  void close_now() {
    end_idle();
    shared_.all.erase(this);
    SystemError ignored;
    socket_.close(ignored);
  }

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  static constexpr std::uint64_t kKeylessClient = std::uint64_t{1} << 32;  // the ids of tenants are below
  static constexpr std::size_t kReadBytes = 16 << 10;
  static constexpr std::size_t kWriteBytes = 64 << 10;
  static constexpr std::size_t kReadAheadBytesMax = 64 << 10;
  static constexpr std::size_t kBodyStepBytes = 4 << 10;  // of a body's memory at first; it doubles

  static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

  static constexpr std::chrono::milliseconds kFreshTime{100};  // that a connection has to send a head before it may be closed
  static constexpr std::chrono::milliseconds kFirstProbePause{250};
  static constexpr std::chrono::seconds kProbePauseMax{64};  // so that one request has five at most: clients bound how many they skip

  // Error code when the client has left and nobody can be answered.
  static constexpr const char* kClosed = "closed";

  Task<void> serve();
  Task<ConnectionUse> serve_request();
  Task<ConnectionUse> read_and_answer();
  Task<Status> read_head();
  Task<Status> read_body(const Parser& parser, BodyDecoder& decoder, ByteReservation& memory);
  Task<Status> read_more();
  Task<Status> write(std::string bytes);
  Task<ConnectionUse> refuse(Error error, ConnectionUse use);
  Task<ConnectionUse> answer_preflight(const Parser& parser, ConnectionUse use);
  Task<ConnectionUse> answer(HttpExchange& exchange);
  Task<void> linger();

  friend void run_awakened(HttpConnections& shared);
  // Awaited until wake().
  [[nodiscard]] auto awakening() {
    struct Awakening {
      HttpConnection& connection;
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<> waiting) const noexcept { connection.waiting_ = waiting; }
      void await_resume() const noexcept {}
    };
    return Awakening{*this};
  }
  void wake();
  void finish();

  static ClientId client_of_address(const Tcp::socket& socket);
  [[nodiscard]] Status make_space(const Parser& parser, BodyDecoder& decoder, ByteReservation& memory) const;
  Result<Admitted> admit(const Parser& parser);
  [[nodiscard]] bool has_place();
  [[nodiscard]] bool is_preflight(const Parser& parser) const;
  static std::string rest_of_path(const Parser& parser, const Route& route);
  static std::string query_of(const Parser& parser);
  static std::string joined_header(const Parser& parser, std::string_view name);
  [[nodiscard]] HttpRequest request_of(const Parser& parser, const Admitted& admitted, std::string body) const;
  void watch_client(std::weak_ptr<HttpExchange> watched);
  void watch_for_reset(const std::shared_ptr<HttpExchange>& exchange);
  void let_within(std::chrono::steady_clock::duration time) { deadline_ = std::chrono::steady_clock::now() + time; }
  void cancel() {
    SystemError ignored;
    socket_.cancel(ignored);
  }
  [[nodiscard]] Error too_large() const {
    return {"request_too_large", fmt::format("The request's body is longer than {} bytes.", body_bytes_max_), {}};
  }
  // The value of a header; empty where there is none.
  template <class Name>
  [[nodiscard]] static std::string_view header(const Parser& parser, Name name) {
    const auto value = parser.get()[name];
    return {value.data(), value.size()};
  }
  void begin_idle() {
    idle_since_ = std::chrono::steady_clock::now();
    if (!place_) place_ = shared_.idle.insert(shared_.idle.end(), this);
  }
  void end_idle() {
    if (place_) shared_.idle.erase(*std::exchange(place_, std::nullopt));
  }
  [[nodiscard]] std::string_view buffered() const { return {static_cast<const char*>(buffer_.data().data()), buffer_.size()}; }

  [[nodiscard]] ClientId client_of(const Caller& caller) const {
    return caller.tenant == TenantId{} ? keyless_client_ : ClientId{caller.tenant.value};
  }
  // Whose memory its requests take. A peer may have many connections.
  [[nodiscard]] ClientId payer_of(const Caller& caller) const {
    return caller.tenant == TenantId{} ? address_client_ : ClientId{caller.tenant.value};
  }

  HttpConnections& shared_;
  const ClientId keyless_client_;  // of this connection
  const ClientId address_client_;
  bool is_reserved_;  // for routes that every port has, until another connection makes place
  Tcp::socket socket_;
  boost::beast::flat_buffer buffer_;
  TimePoint deadline_ = TimePoint::max();
  bool timed_out_ = false;
  bool idle_ = false;                                          // waiting for a request's first byte
  std::optional<std::list<HttpConnection*>::iterator> place_;  // in the list of idle ones
  TimePoint idle_since_ = TimePoint::min();
  bool is_head_ = false;            // the request's method, once it is known
  std::size_t body_bytes_max_ = 0;  // of the request that is being read
  bool is_http_1_1_ = false;
  TimePoint probe_at_ = TimePoint::max();  // when a client that sends nothing more is next asked whether it is there
  std::chrono::milliseconds probe_pause_ = kFirstProbePause;
  std::optional<TimePoint> retry_time_;  // of Retry-After, if its last request was refused for now
  HttpHeaders answer_headers_;           // that every answer has
  bool has_answered_ = false;            // the request: an error can't be its answer any more
  std::coroutine_handle<> waiting_;      // awakening(); null: not now
  bool is_listed_ = false;               // among the awakened
  HttpConnection* next_awakened_ = nullptr;
  HttpConnection* next_finished_ = nullptr;
  std::list<std::shared_ptr<HttpConnection>>::iterator alive_;
  Task<void> serving_;  // last: its frames use the others
};

}  // namespace slora
