#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/limits.h"
#include "http/types.h"

namespace slora {

// Message heads: the text before the body, as pure functions.

// Bytes of the head that `bytes` begins with, its empty line included; nothing when it isn't complete.
[[nodiscard]] std::optional<std::size_t> find_head_end(std::string_view bytes);

// Whether a complete request head is unambiguous, so that no proxy can read it differently (request smuggling): CRLF only, no folding, no
// space before a colon, no control characters, one Host, at most one Content-Length of digits, no transfer coding but exactly "chunked" and
// never both, an origin-form target. Errors carry the codes of error_response().
[[nodiscard]] Status check_request_head(std::string_view head, const HttpLimits& limits);

// The fields after the last chunk of a body, their empty line included: of the same form, and none that says where a message goes or ends.
[[nodiscard]] Status check_trailer(std::string_view trailer);

// The target's bytes before '?'.
[[nodiscard]] std::string_view path_of(std::string_view target);
// At most 128 characters of [A-Za-z0-9._:-]; anything else in `request_id` is dropped.
[[nodiscard]] std::string clean_request_id(std::string_view request_id);
[[nodiscard]] bool equal_ignoring_case(std::string_view a, std::string_view b);

enum class ConnectionUse { keep_alive, close };
// left_out: the answer to HEAD, which has the size of a body that is not sent.
enum class BodyForm { sized, chunked, until_close, left_out };

struct ResponseHead {
  const HttpResponse& response;
  std::string_view request_id;
  BodyForm body_form = BodyForm::sized;
  ConnectionUse use = ConnectionUse::keep_alive;
};
[[nodiscard]] std::string format_response_head(const ResponseHead& head);
// One chunk of the chunked coding. Requires: `bytes` isn't empty.
void append_chunk(std::string& out, std::string_view bytes);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace slora
