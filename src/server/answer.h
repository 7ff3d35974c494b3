#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "backend/op_args.h"
#include "server/request_preparer.h"

namespace slora {

// A token as it will be told.
struct AnsweredToken {
  TokenId token = -1;
  float logprob = 0;
  std::vector<TokenLogprob> top;  // most likely first
  std::size_t text_offset = 0;    // characters of the tokens told before it; only with log-probabilities
};

struct AnsweredChoice {
  std::size_t prompt_index = 0;
  std::string text;                   // the prompt first, when it is echoed
  std::vector<AnsweredToken> tokens;  // of the output
  std::string_view finish_reason;     // "stop", "length", or empty: it goes on
  std::string stop_reason;            // JSON: the stop string or token; empty: none
};

struct Usage {
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  std::int64_t cached_tokens = 0;
};

// What one request has brought forth so far, for the format to write. Owned by its job; I/O thread.
struct Answer {
  PreparedRequest request;
  std::vector<std::int64_t> cached_tokens;  // [prompts] the most that any choice of the prompt found
  std::vector<AnsweredChoice> choices;      // [prompts * n]

  [[nodiscard]] const std::vector<TokenId>& prompt_tokens_of(const AnsweredChoice& choice) const {
    return request.prompts[choice.prompt_index].tokens;
  }
  [[nodiscard]] Usage usage() const;
  // Of one choice alone.
  [[nodiscard]] Usage usage_of(const AnsweredChoice& choice) const;
};

}  // namespace slora
