#include "http/answer_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "base/caught.h"
#include "http/responses.h"

namespace slora {
namespace {

std::int64_t seconds_since_epoch() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// A server-sent event. Messages have no line breaks: JSON escapes them.
void append_event(std::string& out, const ResponseFormat& format, std::string_view message) {
  if (const std::string_view name = format.event_of(message); !name.empty()) out += fmt::format("event: {}\n", name);
  out += fmt::format("data: {}\n\n", message);
}

// Up to this much is formatted within some milliseconds.
constexpr std::size_t kInPlaceCountMax = 4096;

// About how many texts of tokens the body of an answer contains.
std::size_t size_of(const Answer& answer) {
  const RequestSpec& spec = answer.request.spec;
  const auto with_tops = [](std::int32_t tops) { return static_cast<std::size_t>(std::max(tops, 0)) + 1; };
  std::size_t count = 0;
  for (const AnsweredChoice& choice : answer.choices) {
    count += choice.embedding.size() / 4 + choice.text.size() / 64 +
             choice.tokens.size() * (spec.output.logprobs ? with_tops(*spec.output.logprobs) : 0);
    count += answer.prompts[choice.prompt_index].logprobs.size() * with_tops(spec.sampling.prompt_logprob_count);
    if (spec.output.return_token_ids) count += (choice.tokens.size() + answer.prompt_tokens_of(choice).size()) / 16;
  }
  return count;
}

}  // namespace

AnswerWriter::AnswerWriter(std::shared_ptr<Exchange> exchange, std::uint64_t random)
    : exchange_(std::move(exchange)), label_{random, seconds_since_epoch()} {}

void AnswerWriter::use_thread(const FormattingThread& thread, std::weak_ptr<const void> job) {
  thread_ = &thread;
  job_ = std::move(job);
}

void AnswerWriter::part(const AnswerPart& part) {
  const PreparedRequest& request = part.answer.request;
  if (!request.spec.output.stream) return;
  if (!is_streaming_) exchange_->begin_stream("text/event-stream; charset=utf-8");
  is_streaming_ = true;
  std::string events;
  ResponseFormat& format = format_of(request);
  for (const std::string& message : format.part_messages(part)) append_event(events, format, message);
  exchange_->send(events);
}

void AnswerWriter::done(const Answer& answer) {
  ResponseFormat& format = format_of(answer.request);
  if (!answer.request.spec.output.stream) {
    if (!try_format_elsewhere(answer)) exchange_->respond(json_response(format.body(answer)));
    return;
  }
  std::string events;
  for (const std::string& message : format.end_messages(answer)) append_event(events, format, message);
  exchange_->send(events);
  exchange_->end_stream();
}

bool AnswerWriter::try_format_elsewhere(const Answer& answer) {
  std::shared_ptr<const void> job = job_.lock();
  if (thread_ == nullptr || job == nullptr || size_of(answer) <= kInPlaceCountMax) return false;
  // The job keeps the answer and this object. Its last reference must be released on the I/O thread, so it is only there; and what the way
  // back needs is allocated here, so that only the formatting can fail elsewhere.
  struct Formatting {
    std::shared_ptr<const void> job;
    std::optional<HttpResponse> response;  // none: it failed for lack of memory
  };
  const auto formatting = std::make_shared<Formatting>(Formatting{std::move(job), {}});
  const auto respond = [this, formatting] {
    if (!formatting->response) return exchange_->give_up();
    exchange_->respond(std::move(*formatting->response));
  };
  return thread_->try_run([this, &answer, formatting = formatting.get(), back = std::function<void()>(respond)]() mutable {
    try {
      formatting->response = json_response(format_->body(answer));
    } catch (...) {
      log_exception("an answer was given up");
    }
    thread_->post(std::move(back));
  });
}

void AnswerWriter::failed(const ApiError& error) {
  try {
    if (!is_streaming_) return exchange_->respond(error_response(error));
    std::string event;
    append_event(event, *format_, format_->failure_message(error));
    exchange_->send(event);
    exchange_->end_stream();  // the event says that the answer is not whole; a proxy could keep it back where the body breaks off
  } catch (...) {
    log_exception("an error could not be sent");
    exchange_->give_up();
  }
}

ResponseFormat& AnswerWriter::format_of(const PreparedRequest& request) {
  if (!format_) format_ = make_response_format(request, label_);
  return *format_;
}

}  // namespace slora
