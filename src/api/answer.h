#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/request_preparer.h"
#include "ops/token.h"
#include "text/answer_parser.h"

namespace slora {

// A call of a function that the model asks for.
struct ToolCall {
  std::string id, name;
  std::string arguments;  // JSON, unless the model wrote something else or was cut off
};

// What one part adds to a choice that is taken apart.
struct AnswerDelta {
  AnswerEvent event;
  std::size_t call_index = 0;  // of a call and of its arguments
};

// A part of a choice that is taken apart, up to where another kind of part, or another call, begins.
struct AnswerStretch {
  AnswerEvent::Kind kind = AnswerEvent::Kind::content;  // content, reasoning or call
  std::size_t begin = 0;                                // in the choice's text or reasoning; of a call its index
  std::size_t token_begin = 0;                          // the token that brought its beginning
};

struct AnsweredChoice {
  std::size_t prompt_index = 0;
  std::string text;           // the prompt first, when it is echoed
  std::vector<Token> tokens;  // of the output, with the one that ended it
  // Where the answer is taken apart, `text` is its content, and there may be:
  bool is_taken_apart = false;
  std::string reasoning;
  std::vector<ToolCall> calls;
  std::vector<AnswerStretch> stretches;  // all of it, in order
  std::vector<AnswerDelta> deltas;       // of the current part
  std::vector<bool> token_is_hidden;     // [tokens] part of reasoning that the client leaves out
  std::int64_t reasoning_tokens = 0;
  std::string_view finish_reason;  // "stop", "length", "tool_calls", or empty while the choice continues
  std::vector<float> embedding;    // [hidden] of its prompt, if requested
  std::string stop_reason;         // JSON: the stop string or token; empty: none
  bool is_complete = false;        // it ended since nothing may follow in its form, without an end token

  // Before something of this kind is added: begins another stretch where it belongs to none.
  void note_stretch(AnswerEvent::Kind kind);
};

// What is common to the choices of one prompt.
struct AnsweredPrompt {
  std::vector<PromptLogprob> logprobs;  // [tokens - 1] of all but the first, once a choice has begun; only if requested
  std::int64_t cached_tokens = 0;       // the most that any choice found
};

struct Usage {
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  std::int64_t cached_tokens = 0;
  std::optional<std::int64_t> reasoning_tokens;  // of the completion; where the answer is taken apart
};

// The answer to one request so far. Owned by its job, used on its thread.
struct Answer {
  PreparedRequest request;
  std::vector<AnsweredPrompt> prompts;
  std::vector<AnsweredChoice> choices;  // [prompts * n]

  [[nodiscard]] const SharedTokens& prompt_tokens_of(const AnsweredChoice& choice) const {
    return request.prompts[choice.prompt_index].tokens;
  }
  [[nodiscard]] Usage usage() const;
  // The same for one choice.
  [[nodiscard]] Usage usage_of(const AnsweredChoice& choice) const;
};

// The text of one token by itself: parts of characters become U+FFFD.
[[nodiscard]] std::string display_text(const Tokenizer& tokenizer, TokenId token);
// The number of characters of that text, the unit of text offsets.
[[nodiscard]] std::size_t display_length(const Tokenizer& tokenizer, TokenId token);

}  // namespace slora
