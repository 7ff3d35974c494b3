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

}  // namespace slora::jinja
