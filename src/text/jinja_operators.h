#pragma once
#include <optional>

#include "text/jinja_machine.h"
#include "text/jinja_syntax.h"
#include "text/jinja_value.h"

namespace slora::jinja {

// Python's arithmetic on values. Fails where Python raises an error, and if an integer exceeds 64 bits.
[[nodiscard]] Value calculate(Machine& machine, BinaryOperator kind, const Value& left, const Value& right);
[[nodiscard]] Value negate(Machine& machine, const Value& value);
[[nodiscard]] bool holds(Machine& machine, Comparison kind, const Value& left, const Value& right);

// object[start:stop:step]; absent bounds are undefined or None.
[[nodiscard]] Value slice(Machine& machine, const Value& object, const Value& start, const Value& stop, const Value& step);

}  // namespace slora::jinja
