#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "api/answer_sink.h"

namespace slora {

// Log-probabilities as JSON, in the forms that OpenAI's endpoints and vLLM give them. Const after construction; `tokenizer` outlives it.
class OpenAiLogprobs {
 public:
  // How tokens are named: by their text, or as "token_id:ID".
  enum class TokenNames : std::uint8_t { texts, ids };
  [[nodiscard]] static TokenNames names_for(const RequestSpec& spec) {
    return spec.openai.return_tokens_as_token_ids ? TokenNames::ids : TokenNames::texts;
  }

  OpenAiLogprobs(const Tokenizer& tokenizer, TokenNames names) : tokenizer_(tokenizer), names_(names) {}

  // Of a part of an answer: /v1/completions and /v1/chat/completions have forms of their own.
  [[nodiscard]] std::string of_choice(const AnswerPart& part) const;
  // [{"token", "logprob", "bytes", "top_logprobs"}, ...]
  [[nodiscard]] std::string list(std::span<const Token> tokens) const;
  // vLLM's prompt_logprobs: [null, {"ID": {"logprob", "rank", "decoded_token"}}, ...].
  [[nodiscard]] std::string prompt(std::span<const PromptLogprob> scores) const;

 private:
  // {"tokens", "token_logprobs", "top_logprobs", "text_offset"}, of the prompt too when it is echoed.
  [[nodiscard]] std::string completion(const AnswerPart& part) const;
  void append_top(std::string& out, const Token& token) const;
  void append_chat_token(std::string& out, TokenId token, float logprob) const;
  [[nodiscard]] std::string name_of(TokenId token) const;

  const Tokenizer& tokenizer_;
  const TokenNames names_;
};

}  // namespace slora
