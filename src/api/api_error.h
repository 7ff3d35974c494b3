#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "formats/json.h"

namespace slora {

// What kind of failure an answer reports; whoever carries the answer (HTTP: a status) derives its own form from it.
enum class ErrorKind : std::uint8_t { invalid_request, authentication, permission, not_found, rate_limit, unavailable, timeout, internal };

// Why a request has no answer. The kind follows from the code (kind_of), except where a transport has codes of its own.
struct ApiError {
  ErrorKind kind = ErrorKind::invalid_request;
  std::string code;       // stable word for programs
  std::string message;    // one or two sentences for people
  std::string param;      // request field at fault, or empty
  int retry_seconds = 0;  // after which the client should try again; 0: as the transport estimates
};

// Codes without an entry are reasons why a request or its adapter is refused: invalid_request.
[[nodiscard]] ErrorKind kind_of(std::string_view code);
[[nodiscard]] ApiError to_api_error(const Error& error);
// {"error":{"message","type","param","code"}}, as the OpenAI API has it.
[[nodiscard]] std::string error_body(const ApiError& error);

// invalid_request_error with the field at fault.
template <class... Args>
[[nodiscard]] tl::unexpected<Error> field_error(std::string param, fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(Error{"invalid_request_error", fmt::format(format, std::forward<Args>(args)...), std::move(param)});
}

// The same for a value of the wrong type or range: `place` is the field, or the place within it.
[[nodiscard]] inline tl::unexpected<Error> expected_at(const std::string& place, std::string_view expected, const Json& found) {
  return field_error(place, "{}: expected {}, found {}", place, expected, shown(found));
}

}  // namespace slora
