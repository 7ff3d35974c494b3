#include "http/exchange.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/caught.h"

namespace slora {
namespace {

using TimePoint = std::chrono::steady_clock::time_point;

constexpr std::size_t kUnsentStepBytes = 16 << 10;  // what a request reserves for unsent bytes at a time

// The whole answer when there is no memory to make one.
constexpr std::string_view kGivenUpHead =
    "HTTP/1.1 503 Service Unavailable\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: 128\r\n"
    "Retry-After: 1\r\n"
    "Connection: close\r\n";
constexpr std::string_view kHeadEnd = "\r\n";
constexpr std::string_view kGivenUpBody =
    R"({"error":{"message":"The server ran out of memory; try again later.","type":"server_error","param":null,"code":"out_of_memory"}})";
static_assert(kGivenUpBody.size() == 128);
constexpr int kUnavailable = 503;

}  // namespace

HttpExchange::HttpExchange(HttpRequest request, ByteReservation memory, BodyForm form, HttpConnections& shared, std::function<void()> wake)
    : request_(std::move(request)),
      body_memory_(std::move(memory)),
      unsent_memory_(body_memory_.sibling()),
      form_(form),
      shared_(shared),
      wake_(std::move(wake)) {
  set_headers({});
}

// With the memory for an answer that says that there is none.
void HttpExchange::set_headers(HttpHeaders headers) {
  headers_ = std::move(headers);
  header_lines_.clear();
  for (const auto& [name, value] : headers_) header_lines_ += fmt::format("{}: {}\r\n", name, value);
  unsent_.reserve(kGivenUpHead.size() + header_lines_.size() + kHeadEnd.size() + kGivenUpBody.size());
}

std::optional<TimePoint> add_retry_after(HttpResponse& response, const HttpConnections& shared, TenantId tenant,
                                         std::optional<TimePoint> given_before) {
  if (response.status != 429 && response.status != 503) return std::nullopt;
  const auto own = std::ranges::find(response.headers, std::string_view("Retry-After"),
                                     [](const auto& header) { return std::string_view(header.first); });
  if (own != response.headers.end()) return std::nullopt;  // whoever refused it knows better
  const TimePoint time = shared.retry_time ? shared.retry_time({response.status, tenant, given_before}) : TimePoint();
  const TimePoint now = std::chrono::steady_clock::now();  // after retry_time() looked at the clock: a time of N s later is N s at most
  const auto seconds = std::max(std::chrono::ceil<std::chrono::seconds>(time - now), std::chrono::seconds(1));
  response.headers.emplace_back("Retry-After", std::to_string(seconds.count()));
  return time;
}

void HttpExchange::respond(HttpResponse response) {
  if (phase_ != Phase::waiting) return;
  try {
    retry_time_ = add_retry_after(response, shared_, request_.tenant, retry_time_);
    response.headers.insert(response.headers.end(), headers_.begin(), headers_.end());
    const bool is_left_out = form_ == BodyForm::left_out;
    std::string answer = format_response_head({response, request_.request_id, is_left_out ? form_ : BodyForm::sized, use()});
    const std::size_t bytes = answer.size() + (is_left_out ? 0 : response.body.size());
    if (!reserve_unsent(bytes)) return give_up();
    answer.reserve(bytes);
    if (!is_left_out) answer += response.body;
    unsent_ = std::move(answer);
  } catch (...) {
    log_exception("an answer was given up");
    return give_up();
  }
  count_response(response.status);
  finish(Phase::complete);
}

void HttpExchange::begin_stream(std::string_view content_type) {
  if (phase_ != Phase::waiting) return;
  retry_time_.reset();
  if (form_ == BodyForm::until_close) use_ = ConnectionUse::close;
  HttpResponse head;
  head.content_type = content_type;
  head.headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};
  head.headers.insert(head.headers.end(), headers_.begin(), headers_.end());
  unsent_ = format_response_head({head, request_.request_id, form_, use()});
  count_response(head.status);
  phase_ = Phase::streaming;
  wake();
}

void HttpExchange::send(std::string_view bytes) {
  if (phase_ != Phase::streaming || overflowed_ || bytes.empty()) return;
  const std::size_t before = unsent_.size();
  // One event may be longer than the bound: the client is too slow only when bytes before it are still unsent.
  const bool is_too_slow = before > 0 && before + bytes.size() > shared_.limits.unsent_bytes_max;
  if (is_too_slow || !reserve_unsent(being_written_bytes_ + before + bytes.size())) {
    overflowed_ = true;
  } else if (form_ == BodyForm::chunked) {
    try {
      append_chunk(unsent_, bytes);
    } catch (...) {
      unsent_.resize(before);  // part of a chunk would spoil what is sent after it
      throw;
    }
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

void HttpExchange::give_up() noexcept {
  if (phase_ == Phase::streaming) return finish(Phase::broken);
  if (phase_ != Phase::waiting) return;
  use_ = ConnectionUse::close;
  unsent_.assign(kGivenUpHead).append(header_lines_).append(kHeadEnd);  // within what set_headers() reserved
  if (form_ != BodyForm::left_out) unsent_.append(kGivenUpBody);
  count_response(kUnavailable);
  finish(Phase::complete);
}

void HttpExchange::on_gone(std::function<void()> gone) { gone_ = std::move(gone); }

ConnectionUse HttpExchange::use() const { return shared_.draining ? ConnectionUse::close : use_; }

std::string HttpExchange::take_unsent() {
  being_written_bytes_ = unsent_.size();
  unsent_memory_.shrink_to(std::max(being_written_bytes_, kUnsentStepBytes));
  return std::exchange(unsent_, {});
}

void HttpExchange::leave() noexcept {
  if (is_over()) return;
  phase_ = Phase::gone;
  const std::function<void()> gone = std::exchange(gone_, {});
  try {
    if (gone) gone();
  } catch (...) {
    log_exception("a request whose client left was not cancelled");
  }
}

void HttpExchange::count_response(int status) const noexcept {
  try {
    if (shared_.on_response) shared_.on_response(request_.path, status);
  } catch (...) {
    log_exception("an answer was not counted");
  }
}

Status HttpExchange::reserve_unsent(std::size_t bytes) {
  if (bytes <= unsent_memory_.bytes()) return {};
  return unsent_memory_.continue_to((bytes + kUnsentStepBytes - 1) / kUnsentStepBytes * kUnsentStepBytes);
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
