#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace slora {

// "org%2Fsql" as "org/sql": clients write the slash of a name in a path either way. Nothing when it is not well formed.
[[nodiscard]] std::optional<std::string> percent_decoded(std::string_view text);

}  // namespace slora
