#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "api/answer_sink.h"
#include "api/request_spec.h"
#include "base/result.h"
#include "formats/json.h"

namespace slora {

// One request of `slora generate`: the body that the HTTP API would get, or why the line is none.
struct GenerateLine {
  Endpoint endpoint = Endpoint::completions;
  Json request;
  std::optional<Error> error;
};

// Defaults for fields that a line does not have.
struct LineDefaults {
  std::string adapter;  // empty: the base model
  std::int32_t max_tokens = 128;
  double temperature = 0;
  std::optional<std::int64_t> seed;
  bool stream = false;  // whether answers are shown as they come
};

// A line of JSONL: {"prompt" or "messages", "adapter", and any field of the API}.
[[nodiscard]] GenerateLine parse_line(std::string_view text, const LineDefaults& defaults);
// A list of messages, or an object as in JSONL that has "messages" and wants one answer.
[[nodiscard]] GenerateLine parse_conversation(std::string_view text, const LineDefaults& defaults);
// A prompt, or when that is empty a message.
[[nodiscard]] GenerateLine make_line(const std::string& prompt, const std::string& message, const LineDefaults& defaults);

// The answer as one line: {"index", "model", "text", "finish_reason", "usage"}, texts as a list when there are several, and where there is
// one, the log-probabilities and token ids that the request wants.
[[nodiscard]] std::string output_line(std::size_t index, const Answer& answer);
// {"index", "error"}
[[nodiscard]] std::string output_line(std::size_t index, const ApiError& error);

}  // namespace slora
