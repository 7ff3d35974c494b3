#pragma once
#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/byte_budget.h"
#include "http/connections.h"
#include "http/head.h"
#include "http/types.h"

namespace slora {

// Adds Retry-After to a 429 or 503, and returns the time that it means; nothing for other responses. `given_before`: the time of the
// connection's refusal before.
std::optional<std::chrono::steady_clock::time_point> add_retry_after(HttpResponse& response, const HttpConnections& shared, TenantId tenant,
                                                                     std::optional<std::chrono::steady_clock::time_point> given_before);

// The connection's side of an exchange: bytes that wait to be written, and how the answer ends.
class HttpExchange final : public Exchange {
 public:
  enum class Phase { waiting, streaming, complete, broken, gone };

  // `memory`: of the request's body. `form`: of a stream, or left_out. `wake` notifies the connection that there are bytes to write; it
  // must not call back.
  HttpExchange(HttpRequest request, ByteReservation memory, BodyForm form, HttpConnections& shared, std::function<void()> wake);

  const HttpRequest& request() const override { return request_; }
  RequestBody take_body() override { return {std::move(request_.body), std::move(body_memory_)}; }
  void respond(HttpResponse response) override;
  void begin_stream(std::string_view content_type) override;
  void send(std::string_view bytes) override;
  void end_stream() override;
  void give_up() noexcept override;
  void on_gone(std::function<void()> gone) override;

  // For the connection:
  void set_use(ConnectionUse use) { use_ = use; }
  // That the answer has besides its own, whatever it is.
  void set_headers(HttpHeaders headers);
  [[nodiscard]] ConnectionUse use() const;
  [[nodiscard]] Phase phase() const { return phase_; }
  [[nodiscard]] bool is_over() const { return phase_ != Phase::waiting && phase_ != Phase::streaming; }
  // Requires: what was taken before has been written.
  [[nodiscard]] std::string take_unsent();
  // The client reads too slowly, or memory ran out: more bytes wait than may be buffered.
  [[nodiscard]] bool overflowed() const { return overflowed_; }
  // The client has left.
  void leave() noexcept;
  // The time of Retry-After: of the connection's request before, if that was refused for now, until this one has an answer; then of this
  // one, if it is refused.
  void set_retry_time(std::optional<std::chrono::steady_clock::time_point> time) { retry_time_ = time; }
  [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> retry_time() const { return retry_time_; }
  // The connection ends before the exchange: it is not woken any more.
  void detach() { wake_ = {}; }

 private:
  void count_response(int status) const noexcept;
  [[nodiscard]] Status reserve_unsent(std::size_t bytes);
  void finish(Phase phase);
  void wake() const;

  HttpRequest request_;
  ByteReservation body_memory_, unsent_memory_;
  const BodyForm form_;
  HttpConnections& shared_;
  std::function<void()> wake_;
  std::function<void()> gone_;
  HttpHeaders headers_;
  std::string header_lines_;  // the same as they are sent
  ConnectionUse use_ = ConnectionUse::keep_alive;
  Phase phase_ = Phase::waiting;
  std::optional<std::chrono::steady_clock::time_point> retry_time_;
  bool overflowed_ = false;
  std::string unsent_;
  std::size_t being_written_bytes_ = 0;
};

}  // namespace slora
