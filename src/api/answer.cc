#include "api/answer.h"

#include <algorithm>

#include "text/utf8.h"

namespace slora {

Usage Answer::usage() const {
  Usage usage;
  for (const PreparedRequest::Prompt& prompt : request.prompts) usage.prompt_tokens += static_cast<std::int64_t>(prompt.tokens.size());
  for (const AnsweredChoice& choice : choices) usage.completion_tokens += static_cast<std::int64_t>(choice.tokens.size());
  for (const AnsweredChoice& choice : choices) {
    if (choice.is_taken_apart) usage.reasoning_tokens = usage.reasoning_tokens.value_or(0) + choice.reasoning_tokens;
  }
  for (const AnsweredPrompt& prompt : prompts) usage.cached_tokens += prompt.cached_tokens;
  return usage;
}

Usage Answer::usage_of(const AnsweredChoice& choice) const {
  return {static_cast<std::int64_t>(prompt_tokens_of(choice).size()), static_cast<std::int64_t>(choice.tokens.size()),
          prompts[choice.prompt_index].cached_tokens, choice.is_taken_apart ? std::optional(choice.reasoning_tokens) : std::nullopt};
}

std::string display_text(const Tokenizer& tokenizer, TokenId token) { return to_valid_utf8(tokenizer.token_bytes(token)); }

std::size_t display_length(const Tokenizer& tokenizer, TokenId token) {
  const std::string text = display_text(tokenizer, token);
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace slora
