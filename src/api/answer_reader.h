#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "api/answer.h"
#include "text/answer_parser.h"

namespace slora {

// What the answer to this request is read in: of conversations whose model has a format, in which something may be found. Null: it isn't
// taken apart.
[[nodiscard]] const AnswerFormat* format_to_read(const PreparedRequest& request);

// Takes the text of one choice apart into content, reasoning and tool calls, as it grows. Owned by its job, used on its thread.
class AnswerReader {
 public:
  // `request` outlives it, and its answer is taken apart. `random` makes the ids of calls.
  AnswerReader(const PreparedRequest& request, std::size_t prompt_index, std::uint64_t random);

  // Adds what `text` brings to the choice.
  void push(std::string_view text, AnsweredChoice& choice);
  void finish(AnswerEnd end, AnsweredChoice& choice);
  // Whether the token that was pushed last is a part of the model's reasoning.
  [[nodiscard]] bool is_in_reasoning() const { return parser_.is_in_reasoning(); }
  [[nodiscard]] bool is_in_call() const { return parser_.is_in_call(); }

 private:
  void take(const std::vector<AnswerEvent>& events, AnsweredChoice& choice);
  [[nodiscard]] std::string next_id();

  const PreparedRequest& request_;
  AnswerParser parser_;
  std::uint64_t random_;
  bool ignores_rest_ = false;
};

}  // namespace slora
