#pragma once
#include <fmt/core.h>

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace slora {

// Why external input (a file, a request, a name) was refused. `message` names what, where, expected and found, and stands alone:
// it is shown to users as it is. It never holds pointers; absolute paths appear only in messages meant for the operator.
struct Error {
  std::string code;     // stable word for programs, for example E_SHAPE (adapters) or invalid_request_error (requests)
  std::string message;  // one or two sentences for people
  std::string param;    // request field at fault, or empty
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

// An error with no param whose message is formatted from `args`. Callers use error(), which checks the format when it is compiled.
[[nodiscard]] tl::unexpected<Error> format_error(std::string code, fmt::string_view format, fmt::format_args args);

// return error("E_SHAPE", "{}: expected {}, found {}", name, expected, found);
template <class... Args>
[[nodiscard]] tl::unexpected<Error> error(std::string code, fmt::format_string<Args...> format, Args&&... args) {
  return format_error(std::move(code), format, fmt::make_format_args(args...));
}

// Returns an error as the Result of another type: `if (!a) return forward_error(a);`
template <class T>
[[nodiscard]] tl::unexpected<Error> forward_error(Result<T>& failed) {
  return tl::unexpected<Error>(std::move(failed).error());
}
template <class T>
[[nodiscard]] tl::unexpected<Error> forward_error(Result<T>&& failed) {
  return tl::unexpected<Error>(std::move(failed).error());
}

}  // namespace slora
