#pragma once
#include <string>

#include "base/result.h"
#include "server/http_types.h"

namespace slora {

// {"error":{"message","type","param","code"}}, as the OpenAI API has it.
[[nodiscard]] std::string error_body(const Error& error);
// The whole answer: status by the error's code, Retry-After where trying again helps.
[[nodiscard]] HttpResponse error_response(const Error& error);

// invalid_request_error with the field at fault.
template <class... Args>
[[nodiscard]] tl::unexpected<Error> field_error(std::string param, fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(Error{"invalid_request_error", fmt::format(format, std::forward<Args>(args)...), std::move(param)});
}

}  // namespace slora
