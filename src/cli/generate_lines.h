#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "server/request_spec.h"

namespace slora {

// One request of `slora generate`: the body that the HTTP API would get, or why the line is none.
struct GenerateLine {
  Endpoint endpoint = Endpoint::completions;
  std::string body;
  std::optional<Error> error;
};

// What a line takes where it says nothing itself.
struct LineDefaults {
  std::string adapter;  // empty: the base model
  std::int32_t max_tokens = 128;
  double temperature = 0;
  std::optional<std::int64_t> seed;
  bool stream = false;  // whether answers come as events
};

// A line of JSONL: {"prompt" or "messages", "adapter", and any field of the API}.
[[nodiscard]] GenerateLine parse_line(std::string_view text, const LineDefaults& defaults);
// A list of messages, or an object as in JSONL that has "messages" and asks for one answer.
[[nodiscard]] GenerateLine parse_conversation(std::string_view text, const LineDefaults& defaults);
// A prompt, or when that is empty a message.
[[nodiscard]] GenerateLine make_line(const std::string& prompt, const std::string& message, const LineDefaults& defaults);

// The answer's body as one line: {"index", "model", "text", "finish_reason", "usage"}, texts as a list when there are several, and where
// there is one, the log-probabilities and token ids that were asked for; or
// {"index", "error"}.
[[nodiscard]] std::string output_line(std::size_t index, std::string_view body);
// The text that whole events of a stream bring together; [DONE] brings none. An error's event gives the error.
[[nodiscard]] Result<std::string> events_text(std::string_view events);
// What the body of an error says.
[[nodiscard]] Error error_of(std::string_view body);

}  // namespace slora
