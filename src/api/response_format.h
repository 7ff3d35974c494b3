#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/answer_sink.h"

namespace slora {

// What makes an answer's id, and when it was begun.
struct AnswerLabel {
  std::uint64_t random = 0;
  std::int64_t created_seconds = 0;  // since 1970
};

// How an endpoint writes one answer as JSON text. body() may be called on any thread. The messages of a stream are made in their order, on
// one thread, and may be numbered.
class ResponseFormat {
 public:
  virtual ~ResponseFormat() = default;

  // The whole answer.
  [[nodiscard]] virtual std::string body(const Answer& answer) const = 0;
  // The messages of a stream: for one part, and after the last part. OpenAI's and SGLang's last is "[DONE]", which is no JSON.
  [[nodiscard]] virtual std::vector<std::string> part_messages(const AnswerPart& part) = 0;
  [[nodiscard]] virtual std::vector<std::string> end_messages(const Answer& answer) = 0;
  // That ends a stream which fails after its first message.
  [[nodiscard]] virtual std::string failure_message(const ApiError& error) { return error_body(error); }
  // The name of the event that brings a message; empty: it has none.
  [[nodiscard]] virtual std::string_view event_of(std::string_view message) const {
    (void)message;
    return {};
  }
};

// The form of the request's endpoint. The request's text side outlives it.
[[nodiscard]] std::unique_ptr<ResponseFormat> make_response_format(const PreparedRequest& request, AnswerLabel label);

}  // namespace slora
