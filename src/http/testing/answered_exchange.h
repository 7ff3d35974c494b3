#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "http/types.h"

namespace slora {

// A request without a connection, and its answer.
class AnsweredExchange final : public Exchange {
 public:
  explicit AnsweredExchange(HttpRequest request, RequestBody body = {}) : request_(std::move(request)), body_(std::move(body)) {}
  [[nodiscard]] const HttpRequest& request() const override { return request_; }
  [[nodiscard]] RequestBody take_body() override { return std::move(body_); }
  void respond(HttpResponse given) override { response = std::move(given); }
  void begin_stream(std::string_view) override {}
  void send(std::string_view) override {}
  void end_stream() override {}
  void give_up() noexcept override { response = HttpResponse{.status = 599}; }
  void on_gone(std::function<void()>) override {}

  std::optional<HttpResponse> response;

 private:
  const HttpRequest request_;
  RequestBody body_;
};

}  // namespace slora
