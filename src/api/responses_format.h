#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api/openai_logprobs.h"
#include "api/response_format.h"

namespace slora {

// The answers of /v1/responses: a response with one message, and the typed events of its stream, which are numbered.
class ResponsesFormat final : public ResponseFormat {
 public:
  // The request's text side outlives it.
  ResponsesFormat(const PreparedRequest& request, AnswerLabel label);

  std::string body(const Answer& answer) const override;
  std::vector<std::string> part_messages(const AnswerPart& part) override;
  std::vector<std::string> end_messages(const Answer& answer) override;
  std::string failure_message(const ApiError& error) override;
  std::string_view event_of(std::string_view message) const override;

 private:
  // {"type":"response.TYPE","sequence_number":N,MEMBERS}
  [[nodiscard]] std::string event(std::string_view type, std::string_view members);
  // The response; `output` is the list's entries, `usage` JSON.
  [[nodiscard]] std::string response(std::string_view status, std::string_view output, std::string_view usage) const;
  // The message, as an item of the output.
  [[nodiscard]] std::string item(std::string_view status, std::string_view content) const;
  // The text, as a part of the message.
  [[nodiscard]] std::string content(const Answer& answer) const;
  // A list of the tokens' log-probabilities; empty where they aren't wanted.
  [[nodiscard]] std::string logprobs(const Answer& answer, std::span<const Token> tokens) const;

  const std::string id_, item_id_;
  const std::string head_, echoed_;  // members of a response: before what changes, and what the request said
  const std::string place_;          // members of an event: where in the response the text stands
  const OpenAiLogprobs logprobs_;
  std::int64_t event_count_ = 0;
};

}  // namespace slora
