#pragma once
#include <optional>
#include <string_view>
#include <vector>

#include "text/jinja_machine.h"
#include "text/jinja_value.h"

namespace slora::jinja {

// object.name(arguments)
struct Method {
  std::string_view name;
  std::optional<Parameters> parameters;  // nothing: any, passed on as written
  Value (*run)(Machine& machine, const Value& object, const Arguments& arguments);
};

// Those of text. What would change a list or dictionary is left out everywhere, as in transformers' sandbox.
[[nodiscard]] const std::vector<Method>& text_methods();

}  // namespace slora::jinja
