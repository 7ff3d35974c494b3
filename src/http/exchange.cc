#include "http/exchange.h"

namespace slora {

std::unique_ptr<BodyReservation> BodyReservation::try_take(HttpConnections& shared, std::size_t bytes) {
  if (shared.bodies_bytes + bytes > shared.limits.bodies_bytes_max) return nullptr;
  return std::unique_ptr<BodyReservation>(new BodyReservation(shared, bytes));
}

bool BodyReservation::try_grow_to(std::size_t bytes) {
  if (bytes <= bytes_) return true;
  if (shared_.bodies_bytes + (bytes - bytes_) > shared_.limits.bodies_bytes_max) return false;
  shared_.bodies_bytes += bytes - bytes_;
  bytes_ = bytes;
  return true;
}

void add_retry_after(HttpResponse& response, const HttpConnections& shared) {
  if (response.status != 429 && response.status != 503) return;
  response.headers.emplace_back("Retry-After", std::to_string(shared.retry_seconds ? shared.retry_seconds() : 1));
}

HttpExchange::HttpExchange(HttpRequest request, std::unique_ptr<BodyReservation> reservation, BodyForm form, HttpConnections& shared,
                           std::function<void()> wake)
    : request_(std::move(request)), reservation_(std::move(reservation)), form_(form), shared_(shared), wake_(std::move(wake)) {}

void HttpExchange::respond(HttpResponse response) {
  if (phase_ != Phase::waiting) return;
  if (shared_.on_response) shared_.on_response(request_.path, response.status);
  add_retry_after(response, shared_);
  response.headers.insert(response.headers.end(), headers_.begin(), headers_.end());
  const bool is_left_out = form_ == BodyForm::left_out;
  unsent_ = format_response_head({response, request_.request_id, is_left_out ? form_ : BodyForm::sized, use()});
  if (!is_left_out) unsent_ += response.body;
  finish(Phase::complete);
}

void HttpExchange::begin_stream(std::string_view content_type) {
  if (phase_ != Phase::waiting) return;
  if (form_ == BodyForm::until_close) use_ = ConnectionUse::close;
  if (shared_.on_response) shared_.on_response(request_.path, 200);
  HttpResponse head;
  head.content_type = content_type;
  head.headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};
  head.headers.insert(head.headers.end(), headers_.begin(), headers_.end());
  unsent_ = format_response_head({head, request_.request_id, form_, use()});
  phase_ = Phase::streaming;
  wake();
}

void HttpExchange::send(std::string_view bytes) {
  if (phase_ != Phase::streaming || overflowed_ || bytes.empty()) return;
  // One event may be longer than the bound: the client is too slow only when bytes before it are still unsent.
  if (!unsent_.empty() && unsent_.size() + bytes.size() > shared_.limits.unsent_bytes_max) {
    overflowed_ = true;
  } else if (form_ == BodyForm::chunked) {
    append_chunk(unsent_, bytes);
  } else {
    unsent_ += bytes;
  }
  wake();
}

void HttpExchange::end_stream() {
  if (phase_ != Phase::streaming) return;
  if (form_ == BodyForm::chunked) unsent_ += kLastChunk;
  finish(Phase::complete);
}

void HttpExchange::break_stream() {
  if (phase_ != Phase::streaming) return;
  finish(Phase::broken);
}

void HttpExchange::on_gone(std::function<void()> gone) { gone_ = std::move(gone); }

ConnectionUse HttpExchange::use() const { return shared_.draining ? ConnectionUse::close : use_; }

void HttpExchange::leave() {
  if (is_over()) return;
  phase_ = Phase::gone;
  if (const std::function<void()> gone = std::exchange(gone_, {})) gone();
}

void HttpExchange::finish(Phase phase) {
  phase_ = phase;
  gone_ = {};  // it may own the work, which owns this exchange
  wake();
}

void HttpExchange::wake() const {
  if (wake_) wake_();
}

}  // namespace slora
