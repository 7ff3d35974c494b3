#include "api/answer.h"

#include <algorithm>

#include "text/utf8.h"

namespace slora {

void AnsweredChoice::note_stretch(AnswerEvent::Kind kind) {
  using Kind = AnswerEvent::Kind;
  if (kind == Kind::arguments || (kind != Kind::call && !stretches.empty() && stretches.back().kind == kind)) return;
  const std::size_t begin = kind == Kind::call ? calls.size() : kind == Kind::reasoning ? reasoning.size() : text.size();
  stretches.push_back({kind, begin, tokens.empty() ? 0 : tokens.size() - 1});
}

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
