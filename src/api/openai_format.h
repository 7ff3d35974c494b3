#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api/openai_logprobs.h"
#include "api/response_format.h"
#include "text/tokenizer.h"

namespace slora {

// {"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details"}
[[nodiscard]] std::string usage_json(const Usage& usage);

// The answers of /v1/completions and /v1/chat/completions.
class OpenAiFormat final : public ResponseFormat {
 public:
  // The request's text side outlives it.
  OpenAiFormat(const PreparedRequest& request, AnswerLabel label);

  std::string body(const Answer& answer) const override;
  // The first part of a chat's choice has a message with the role before it.
  std::vector<std::string> part_messages(const AnswerPart& part) override;
  std::vector<std::string> end_messages(const Answer& answer) override;

 private:
  [[nodiscard]] std::string head(std::string_view object, const PreparedRequest& request, AnswerLabel label) const;
  [[nodiscard]] std::string role_message(const AnswerPart& part) const;
  // The messages of a part that is taken apart: one for each thing that it adds.
  [[nodiscard]] std::vector<std::string> delta_messages(const AnswerPart& part) const;
  // A message of a part, with the part's tokens or without; `delta`: JSON.
  enum class Tokens : std::uint8_t { included, left_out };
  [[nodiscard]] std::string delta_message(const AnswerPart& part, std::string_view delta, Tokens tokens) const;
  void append_tokens(std::string& out, const AnswerPart& part) const;
  void append_choice(std::string& out, const AnswerPart& part, std::string_view chat_field) const;

  const bool is_chat_;
  const std::string chunk_head_, body_head_;  // `{"id":...,"choices":[`
  const OpenAiLogprobs logprobs_;
};

}  // namespace slora
