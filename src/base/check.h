#pragma once
#include <source_location>
#include <string_view>

namespace slora {

// Ends the process with file, line and `what`, which says what was expected. For bugs only, in every build; bad input gets a Result.
[[noreturn]] void fail_check(std::string_view what, std::source_location where);

inline void check(bool holds, std::string_view what, std::source_location where = std::source_location::current()) {
  if (!holds) [[unlikely]]
    fail_check(what, where);
}

}  // namespace slora
