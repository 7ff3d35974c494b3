#pragma once
#include <string>
#include <string_view>

#include "text/jinja_machine.h"
#include "text/jinja_value.h"

namespace slora::jinja {

// input is name(argument)
struct Test {
  std::string_view name;
  bool takes_argument;
  bool (*run)(Machine& machine, const Value& input, const Value& argument);
};

// Nullptr if there is no test of that name.
[[nodiscard]] const Test* find_test(std::string_view name);
[[nodiscard]] std::string unsupported_test(std::string_view name);  // the error message for such a name
[[nodiscard]] bool apply(const Test& test, Machine& machine, const Value& input, const Arguments& arguments);

// The operator "in".
[[nodiscard]] bool contains(Machine& machine, const Value& container, const Value& member);

}  // namespace slora::jinja
