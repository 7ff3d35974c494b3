#pragma once
#include <string_view>
#include <vector>

#include "text/jinja_machine.h"
#include "text/jinja_value.h"

namespace slora::jinja {

// Whether all of `from` in a text may be replaced; pays for it.
[[nodiscard]] bool can_replace(Machine& machine, std::string_view text, std::string_view from, std::string_view to);

// object.name and object[key]: a method or a member; undefined if there is none.
[[nodiscard]] Value attribute_of(Machine& machine, const Value& object, std::string_view name);
[[nodiscard]] Value subscript_of(Machine& machine, const Value& object, const Value& key);

// The members of a dictionary as tuples of key and value.
[[nodiscard]] std::vector<Value> pairs_of(Machine& machine, const Dict& dict);

}  // namespace slora::jinja
