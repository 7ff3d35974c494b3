#pragma once
#include <string_view>

#include "text/jinja_machine.h"
#include "text/jinja_value.h"

namespace slora::jinja {

// Both escape what they put into markup.

// Python's format % argument: a tuple's members one by one, a dictionary's by name, any other value alone.
[[nodiscard]] Value format_percent(Machine& machine, std::string_view format, TextKind kind, const Value& argument);
// Python's format.format(arguments), with attributes and members looked up as templates see them.
[[nodiscard]] Value format_braces(Machine& machine, std::string_view format, TextKind kind, const Arguments& arguments);

}  // namespace slora::jinja
