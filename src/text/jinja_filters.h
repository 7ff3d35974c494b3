#pragma once
#include <string_view>

#include "text/jinja_machine.h"
#include "text/jinja_value.h"

namespace slora::jinja {

// input | name(arguments)
struct Filter {
  std::string_view name;
  Parameters parameters;
  bool takes_any_arguments;  // passed to run() unchanged: map, select and similar filters
  Value (*run)(Machine& machine, const Value& input, const Arguments& arguments);
};

// Nullptr if there is no filter of that name.
[[nodiscard]] const Filter* find_filter(std::string_view name);
[[nodiscard]] std::string unsupported_filter(std::string_view name);  // the error message for such a name
[[nodiscard]] Value apply(const Filter& filter, Machine& machine, const Value& input, const Arguments& arguments);

// The filters on texts and numbers, and those on lists and dictionaries.
[[nodiscard]] const std::vector<Filter>& scalar_filters();
[[nodiscard]] const std::vector<Filter>& sequence_filters();

}  // namespace slora::jinja
