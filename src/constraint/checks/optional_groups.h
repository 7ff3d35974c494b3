#pragma once
#include <string>
#include <string_view>

namespace slora {

// The same regular expression with an empty choice instead of each repetition of a group that may be left out: (a+)? as ((a+)|), (a+)* as
// ((a+)+|). The library's automata take (xa+)? for x?a*: they go from the beginning of a group to all states in which it may end, also to
// those from which it continues. Requires: check_regex() takes it.
[[nodiscard]] std::string without_optional_groups(std::string_view regex);

}  // namespace slora
