#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "http/connection.h"
#include "http/head.h"
#include "http/types.h"

namespace slora {

// A reservation for one request's body within the server's memory bound, released by its destructor. I/O thread.
class BodyReservation {
 public:
  // Null when the bound is reached.
  [[nodiscard]] static std::unique_ptr<BodyReservation> try_take(HttpConnections& shared, std::size_t bytes);
  // Reserves more, or nothing when the bound is reached: for a body of unknown length.
  [[nodiscard]] bool try_grow_to(std::size_t bytes);
  ~BodyReservation() { shared_.bodies_bytes -= bytes_; }
  BodyReservation(const BodyReservation&) = delete;
  BodyReservation& operator=(const BodyReservation&) = delete;

 private:
  BodyReservation(HttpConnections& shared, std::size_t bytes) : shared_(shared), bytes_(bytes) { shared_.bodies_bytes += bytes_; }

  HttpConnections& shared_;
  std::size_t bytes_;
};

// Says to a client that is refused for now when to try again.
void add_retry_after(HttpResponse& response, const HttpConnections& shared);

// The connection's side of an exchange: bytes that wait to be written, and how the answer ends.
class HttpExchange final : public Exchange {
 public:
  enum class Phase { waiting, streaming, complete, broken, gone };

  // `form`: of a stream, or left_out. `wake` notifies the connection that there are bytes to write; it must not call back.
  HttpExchange(HttpRequest request, std::unique_ptr<BodyReservation> reservation, BodyForm form, HttpConnections& shared,
               std::function<void()> wake);

  const HttpRequest& request() const override { return request_; }
  std::string take_body() override { return std::move(request_.body); }
  void respond(HttpResponse response) override;
  void begin_stream(std::string_view content_type) override;
  void send(std::string_view bytes) override;
  void end_stream() override;
  void break_stream() override;
  void on_gone(std::function<void()> gone) override;

  // For the connection:
  void set_use(ConnectionUse use) { use_ = use; }
  // That the answer has besides its own.
  void set_headers(HttpHeaders headers) { headers_ = std::move(headers); }
  [[nodiscard]] ConnectionUse use() const;
  [[nodiscard]] Phase phase() const { return phase_; }
  [[nodiscard]] bool is_over() const { return phase_ != Phase::waiting && phase_ != Phase::streaming; }
  [[nodiscard]] std::string take_unsent() { return std::exchange(unsent_, {}); }
  // The client reads too slowly: more bytes wait than may be buffered.
  [[nodiscard]] bool overflowed() const { return overflowed_; }
  // The client has left.
  void leave();
  // The connection ends before the exchange: it is not woken any more.
  void detach() { wake_ = {}; }

 private:
  void finish(Phase phase);
  void wake() const;

  HttpRequest request_;
  const std::unique_ptr<BodyReservation> reservation_;
  const BodyForm form_;
  HttpConnections& shared_;
  std::function<void()> wake_;
  std::function<void()> gone_;
  HttpHeaders headers_;
  ConnectionUse use_ = ConnectionUse::keep_alive;
  Phase phase_ = Phase::waiting;
  bool overflowed_ = false;
  std::string unsent_;
};

}  // namespace slora
