#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "server/response_format.h"
#include "text/tokenizer.h"

namespace slora {

// The answers of /v1/completions and /v1/chat/completions.
class OpenAiFormat final : public ResponseFormat {
 public:
  OpenAiFormat(const PreparedRequest& request, std::uint64_t random, const Tokenizer& tokenizer);

  std::string body(const Answer& answer) const override;
  // The first of a chat's choice is led by an event with its role.
  std::string part_event(const Answer& answer, const NewPart& part) const override;
  std::string end_of_stream(const Answer& answer) const override;

 private:
  [[nodiscard]] std::string head(std::string_view object, const PreparedRequest& request, std::uint64_t random) const;
  void append_logprobs(std::string& out, std::span<const AnsweredToken> tokens) const;
  void append_completion_logprobs(std::string& out, std::span<const AnsweredToken> tokens) const;
  void append_chat_logprobs(std::string& out, std::span<const AnsweredToken> tokens) const;
  void append_chat_token(std::string& out, TokenId token, float logprob) const;
  [[nodiscard]] std::string token_text(TokenId token) const;

  const bool is_chat_;
  const bool wants_logprobs_;
  const std::string chunk_head_, body_head_;  // `{"id":...,"choices":[`
  const Tokenizer& tokenizer_;
};

}  // namespace slora
