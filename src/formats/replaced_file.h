#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace slora {

// Puts a file at the path that is complete, in place of what was there: `write` makes it under the name that it is given, and it is
// renamed. After an error what was there is as before. E_WRITE, and the errors of `write`. One thread for each path.
[[nodiscard]] Status replace_file(const std::string& path, const std::function<Status(const std::string& unfinished)>& write);
[[nodiscard]] Status replace_text_file(const std::string& path, std::string_view text);

}  // namespace slora
