#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/openai_logprobs.h"
#include "api/response_format.h"

namespace slora {

// The answers of /v1/responses: a response whose output is a list of items, one for each stretch of the answer (a message, reasoning or a
// call), and the typed events of its stream, which are numbered.
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
  using Kind = AnswerEvent::Kind;

  // {"type":"response.TYPE","sequence_number":N,MEMBERS}
  [[nodiscard]] std::string event(std::string_view type, std::string_view members);
  // The response; `output` is the list's entries, `usage` JSON.
  [[nodiscard]] std::string response(std::string_view status, std::string_view output, std::string_view usage) const;
  // The list's entries.
  [[nodiscard]] std::string items(const Answer& answer) const;
  // An item, by the index of its stretch: as it is in the end, and as it begins, without its text.
  [[nodiscard]] std::string item(const Answer& answer, std::size_t index) const;
  [[nodiscard]] std::string begun_item(const Answer& answer, std::size_t index) const;
  [[nodiscard]] std::string call_item(const Answer& answer, std::size_t index, std::string_view status, std::string_view arguments) const;
  [[nodiscard]] std::string text_item(const Answer& answer, std::size_t index, std::string_view status, std::string_view content) const;
  // The text or reasoning of an item, as its only part.
  [[nodiscard]] std::string content(const Answer& answer, std::size_t index) const;
  [[nodiscard]] std::string item_id(Kind kind, std::size_t index) const;
  // Members of an event: the item that it belongs to.
  [[nodiscard]] std::string place(const Answer& answer, std::size_t index) const;
  // A list of the tokens' log-probabilities; empty where they aren't wanted.
  [[nodiscard]] std::string logprobs(const Answer& answer, std::span<const Token> tokens) const;

  // Of the stream: what begins an item, what is added to the last one, and what ends it.
  void open_item(std::vector<std::string>& events, const Answer& answer);
  void add_delta(std::vector<std::string>& events, const AnswerPart& part, const AnswerEvent& delta);
  void close_item(std::vector<std::string>& events, const Answer& answer);

  const std::uint64_t random_;
  const std::string id_;
  const std::string head_, echoed_;  // members of a response: before what changes, and what the request said
  const OpenAiLogprobs logprobs_;
  std::int64_t event_count_ = 0;
  std::size_t opened_count_ = 0, closed_count_ = 0;  // items of the stream
  std::size_t tokens_sent_ = 0;                      // whose log-probabilities came with a delta, or belong to no message
};

}  // namespace slora
