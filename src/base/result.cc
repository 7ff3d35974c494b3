#include "base/result.h"

#include <fmt/format.h>

namespace slora {

tl::unexpected<Error> format_error(std::string code, fmt::string_view format, fmt::format_args args) {
  return tl::unexpected<Error>(Error{std::move(code), fmt::vformat(format, args), {}});
}

}  // namespace slora
