#pragma once
#include <string>
#include <utility>
#include <vector>

#include "text/jinja_machine.h"
#include "text/jinja_value.h"

namespace slora::jinja {

// The functions that every template may call: range, namespace, dict, raise_exception, strftime_now. They borrow the machine.
[[nodiscard]] std::vector<std::pair<std::string, Value>> global_functions(Machine& machine);

}  // namespace slora::jinja
