#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api/request_preparer.h"
#include "ops/token.h"

namespace slora {

struct AnsweredChoice {
  std::size_t prompt_index = 0;
  std::string text;                // the prompt first, when it is echoed
  std::vector<Token> tokens;       // of the output, with the one that ended it
  std::string_view finish_reason;  // "stop", "length", or empty: it goes on
  std::string stop_reason;         // JSON: the stop string or token; empty: none
};

// What is common to the choices of one prompt.
struct AnsweredPrompt {
  std::vector<PromptLogprob> logprobs;  // [tokens - 1] of all but the first, once a choice has begun; only if asked for
  std::int64_t cached_tokens = 0;       // the most that any choice found
};

struct Usage {
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  std::int64_t cached_tokens = 0;
};

// What one request has brought forth so far, for the format to write. Owned by its job; I/O thread.
struct Answer {
  PreparedRequest request;
  std::vector<AnsweredPrompt> prompts;
  std::vector<AnsweredChoice> choices;  // [prompts * n]

  [[nodiscard]] const SharedTokens& prompt_tokens_of(const AnsweredChoice& choice) const {
    return request.prompts[choice.prompt_index].tokens;
  }
  [[nodiscard]] Usage usage() const;
  // Of one choice alone.
  [[nodiscard]] Usage usage_of(const AnsweredChoice& choice) const;
};

// A token as text that stands alone: parts of characters become U+FFFD.
[[nodiscard]] std::string told_text(const Tokenizer& tokenizer, TokenId token);
// Characters of that text, as text offsets count them.
[[nodiscard]] std::size_t told_characters(const Tokenizer& tokenizer, TokenId token);

}  // namespace slora
