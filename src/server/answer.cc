#include "server/answer.h"

namespace slora {

Usage Answer::usage() const {
  Usage usage;
  for (const PreparedRequest::Prompt& prompt : request.prompts) usage.prompt_tokens += static_cast<std::int64_t>(prompt.tokens.size());
  for (const AnsweredChoice& choice : choices) usage.completion_tokens += static_cast<std::int64_t>(choice.tokens.size());
  for (const std::int64_t count : cached_tokens) usage.cached_tokens += count;
  return usage;
}

Usage Answer::usage_of(const AnsweredChoice& choice) const {
  return {static_cast<std::int64_t>(prompt_tokens_of(choice).size()), static_cast<std::int64_t>(choice.tokens.size()),
          cached_tokens[choice.prompt_index]};
}

}  // namespace slora
