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

  // Of a part of an answer, in the form of its endpoint.
  [[nodiscard]] std::string of_choice(const AnswerPart& part) const;
  // Of /v1/completions: {"tokens", "token_logprobs", "top_logprobs", "text_offset"}; `echoed` is the prompt, or empty, and `scores` are of
  // all its tokens but the first, which has none.
  [[nodiscard]] std::string completion(std::span<const TokenId> echoed, std::span<const PromptLogprob> scores,
                                       std::span<const AnsweredToken> tokens) const;
  // Of /v1/chat/completions: {"content": [...]}.
  [[nodiscard]] std::string chat(std::span<const AnsweredToken> tokens) const;
  // vLLM's prompt_logprobs: [null, {"ID": {"logprob", "rank", "decoded_token"}}, ...].
  [[nodiscard]] std::string prompt(std::span<const PromptLogprob> scores) const;

 private:
  void append_top(std::string& out, const Token& token) const;
  void append_chat_token(std::string& out, TokenId token, float logprob) const;
  [[nodiscard]] std::string name_of(TokenId token) const;

  const Tokenizer& tokenizer_;
  const TokenNames names_;
};

}  // namespace slora
