#pragma once
#include <optional>
#include <string>

#include "text/jinja_machine.h"
#include "text/jinja_value.h"

namespace slora::jinja {

// How json.dumps writes a value.
struct JsonStyle {
  std::optional<std::string> indent;  // per level; empty: everything on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool ensure_ascii = false;
  bool sort_keys = false;
};

// The value as JSON; fails for values that Python's json can't write (undefined values, functions).
[[nodiscard]] std::string to_json(Machine& machine, const Value& value, const JsonStyle& style);

}  // namespace slora::jinja
