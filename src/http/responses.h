#pragma once
#include <string>
#include <utility>

#include "api/api_error.h"
#include "base/result.h"
#include "http/types.h"

namespace slora {

// 200 with a body that is JSON already.
[[nodiscard]] inline HttpResponse json_response(std::string json) {
  HttpResponse response;
  response.body = std::move(json);
  return response;
}

[[nodiscard]] inline HttpResponse text_response(std::string text) {
  HttpResponse response;
  response.content_type = "text/plain; charset=utf-8";
  response.body = std::move(text);
  return response;
}

// The status of the error's kind. The connection adds Retry-After where trying again helps.
[[nodiscard]] HttpResponse error_response(const ApiError& error);
// The same from a code, those of HTTP itself (method_not_allowed, request_too_large, ...) among them.
[[nodiscard]] HttpResponse error_response(const Error& error);

}  // namespace slora
