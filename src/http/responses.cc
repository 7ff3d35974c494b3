#include "http/responses.h"

#include <array>
#include <string>
#include <string_view>

namespace slora {
namespace {

// Codes that only a transport has.
struct HttpCode {
  std::string_view code;
  int status;
  ErrorKind kind;
};

constexpr std::array kHttpCodes = {
    HttpCode{"invalid_api_key", 401, ErrorKind::authentication},     HttpCode{"not_permitted", 403, ErrorKind::permission},
    HttpCode{"method_not_allowed", 405, ErrorKind::invalid_request}, HttpCode{"request_timeout", 408, ErrorKind::invalid_request},
    HttpCode{"connections_full", 503, ErrorKind::unavailable},       HttpCode{"request_too_large", 413, ErrorKind::invalid_request},
    HttpCode{"E_PUSH_UNDER_WAY", 409, ErrorKind::invalid_request},   HttpCode{"E_UNLOADED", 409, ErrorKind::invalid_request},
    HttpCode{"uri_too_long", 414, ErrorKind::invalid_request},       HttpCode{"unsupported_media_type", 415, ErrorKind::invalid_request},
    HttpCode{"head_too_large", 431, ErrorKind::invalid_request},
};

int status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::invalid_request:
      return 400;
    case ErrorKind::authentication:
      return 401;
    case ErrorKind::permission:
      return 403;
    case ErrorKind::not_found:
      return 404;
    case ErrorKind::rate_limit:
      return 429;
    case ErrorKind::unavailable:
      return 503;
    case ErrorKind::timeout:
      return 504;
    case ErrorKind::internal:
      break;
  }
  return 500;
}

HttpResponse response_of(const ApiError& error, int status) {
  HttpResponse response;
  response.status = status;
  response.body = error_body(error);
  if (status == 504) response.headers.emplace_back("x-should-retry", "false");  // to OpenAI's clients, which try errors again at once
  if (error.retry_seconds > 0) response.headers.emplace_back("Retry-After", std::to_string(error.retry_seconds));
  if (status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

}  // namespace

HttpResponse error_response(const ApiError& error) { return response_of(error, status_of(error.kind)); }

HttpResponse error_response(const Error& error) {
  for (const HttpCode& known : kHttpCodes) {
    if (known.code == error.code) return response_of({known.kind, error.code, error.message, error.param}, known.status);
  }
  return error_response(to_api_error(error));
}

}  // namespace slora
