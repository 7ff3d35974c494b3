#pragma once
#include <cstddef>
#include <span>
#include <string_view>

#include "api/answer.h"
#include "api/api_error.h"

namespace slora {

// What is new in one choice of an answer since the part before it. A view: valid during the call that brings it.
struct AnswerPart {
  const Answer& answer;
  std::size_t choice_index = 0;
  bool is_first = true;  // of this choice
  std::size_t text_begin = 0;
  std::size_t token_begin = 0;
  std::size_t text_offset = 0;  // of its first token: the characters of all tokens before it; only with log-probabilities

  [[nodiscard]] const AnsweredChoice& choice() const { return answer.choices[choice_index]; }
  [[nodiscard]] std::string_view text() const { return std::string_view(choice().text).substr(text_begin); }
  [[nodiscard]] std::span<const Token> tokens() const { return std::span(choice().tokens).subspan(token_begin); }
};

// Receives the answer to one request: part() for each token of each choice, then once and last done() or failed(). Implemented by whoever
// shows answers (an HTTP response, a terminal, a program's own); called on the thread that runs the jobs. When part() or done() throws,
// failed() follows.
class AnswerSink {
 public:
  virtual ~AnswerSink() = default;

  virtual void part(const AnswerPart& part) = 0;
  // The answer does not change any more and lives as long as its job.
  virtual void done(const Answer& answer) = 0;
  // Parts may have come before: what they brought is no whole answer.
  virtual void failed(const ApiError& error) = 0;
};

}  // namespace slora
