#include "http/answer_writer.h"

#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "http/responses.h"

namespace slora {
namespace {

std::int64_t seconds_since_epoch() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// A server-sent event. Messages have no line breaks: JSON escapes them.
void append_event(std::string& out, std::string_view message) { out += fmt::format("data: {}\n\n", message); }

}  // namespace

AnswerWriter::AnswerWriter(std::shared_ptr<Exchange> exchange, std::uint64_t random)
    : exchange_(std::move(exchange)), label_{random, seconds_since_epoch()} {}

void AnswerWriter::part(const AnswerPart& part) {
  const PreparedRequest& request = part.answer.request;
  if (!request.spec.output.stream) return;
  if (!std::exchange(is_streaming_, true)) exchange_->begin_stream("text/event-stream; charset=utf-8");
  std::string events;
  for (const std::string& message : format_of(request).part_messages(part)) append_event(events, message);
  exchange_->send(events);
}

void AnswerWriter::done(const Answer& answer) {
  const ResponseFormat& format = format_of(answer.request);
  if (!answer.request.spec.output.stream) return exchange_->respond(json_response(format.body(answer)));
  std::string events;
  for (const std::string& message : format.end_messages(answer)) append_event(events, message);
  exchange_->send(events);
  exchange_->end_stream();
}

void AnswerWriter::failed(const ApiError& error) {
  if (!is_streaming_) return exchange_->respond(error_response(error));
  std::string event;
  append_event(event, error_body(error));
  exchange_->send(event);
  exchange_->break_stream();
}

const ResponseFormat& AnswerWriter::format_of(const PreparedRequest& request) {
  if (!format_) format_ = make_response_format(request, label_);
  return *format_;
}

}  // namespace slora
