#pragma once
#include "api/api_error.h"
#include "base/result.h"
#include "http/types.h"

namespace slora {

// An error as a whole answer: the status of its kind, Retry-After where trying again helps.
[[nodiscard]] HttpResponse error_response(const ApiError& error);
// The same from a code, those of HTTP itself (method_not_allowed, request_too_large, ...) among them.
[[nodiscard]] HttpResponse error_response(const Error& error);

}  // namespace slora
