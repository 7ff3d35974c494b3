#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace slora {

// "org%2Fsql" as "org/sql": clients write a name's slash either way. Nothing when it is not well formed.
[[nodiscard]] std::optional<std::string> percent_decoded(std::string_view text);
// The value of `name` in "a=1&b=2", decoded; empty where there is none. "bad_query" when it is not well formed.
[[nodiscard]] Result<std::string> query_value(std::string_view query, std::string_view name);

}  // namespace slora
