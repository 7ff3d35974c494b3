#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "server/request_spec.h"

namespace slora {

// What a request may ask for, at most.
inline constexpr std::size_t kPromptsMax = 32;
inline constexpr std::size_t kSequencesMax = 64;  // prompts times n: an answer that is no stream is held whole
inline constexpr std::size_t kMessagesMax = 4096;
inline constexpr std::size_t kStopsMax = 16;
inline constexpr std::size_t kStopBytesMax = 256;
inline constexpr std::size_t kStopTokensMax = 256;
inline constexpr std::size_t kLogitBiasMax = 1024;

// One request from a body, or invalid_request_error with the field at fault, expected and found. Unknown fields are ignored and
// counted; known ones that are not served yet are refused by name. Token ids lie in [0, vocabulary_size), the width of the logits.
[[nodiscard]] Result<RequestSpec> parse_request(Endpoint endpoint, std::string_view body, std::int32_t vocabulary_size);

// A numeric field with its bounds, as the parser holds them.
struct NumberField {
  std::string_view name;
  bool in_completions, in_chat;
  bool is_integer;
  double min, max;
};
[[nodiscard]] std::vector<NumberField> number_fields();

}  // namespace slora
