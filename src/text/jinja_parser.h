#pragma once
#include <string_view>

#include "base/result.h"
#include "text/jinja_syntax.h"

namespace slora::jinja {

// The tree of a template, or what is wrong or missing in it with its line.
[[nodiscard]] Result<Template> parse(std::string_view source);

}  // namespace slora::jinja
