#pragma once
#include <string_view>

#include "text/jinja_machine.h"
#include "text/jinja_value.h"

namespace slora::jinja {

// input | name(arguments)
struct Filter {
  std::string_view name;
  Parameters parameters;
  bool takes_any_arguments;  // passed on as written: map, select and their like
  Value (*run)(Machine& machine, const Value& input, const Arguments& arguments);
};

// Nullptr when there is none of that name.
[[nodiscard]] const Filter* find_filter(std::string_view name);
[[nodiscard]] std::string lacking_filter(std::string_view name);  // says so
[[nodiscard]] Value apply(const Filter& filter, Machine& machine, const Value& input, const Arguments& arguments);

// The filters on texts and numbers, and those on lists and dictionaries.
[[nodiscard]] const std::vector<Filter>& scalar_filters();
[[nodiscard]] const std::vector<Filter>& sequence_filters();

// The members of a dictionary as tuples of key and value.
[[nodiscard]] std::vector<Value> pairs_of(Machine& machine, const Dict& dict);

// object.attribute and object[key] as templates see them: a method or a member; undefined when there is none.
[[nodiscard]] Value attribute_of(Machine& machine, const Value& object, std::string_view name);
[[nodiscard]] Value subscript_of(Machine& machine, const Value& object, const Value& key);

}  // namespace slora::jinja
