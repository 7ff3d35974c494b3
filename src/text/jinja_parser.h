#pragma once
#include <string_view>

#include "base/result.h"
#include "text/jinja_syntax.h"

namespace slora::jinja {

// Parses a template to its tree. Errors name the line and what is wrong or unsupported there.
[[nodiscard]] Result<Template> parse(std::string_view source);

}  // namespace slora::jinja
