#pragma once
#include <span>
#include <string>
#include <string_view>

namespace slora {

// The formats of strings that are served.
[[nodiscard]] std::span<const std::string_view> known_formats();

// Formats of which the library allows values that do not exist, such as February 31, as patterns of values that do: not of all, as February
// 29 is left out. Empty: the library's own.
[[nodiscard]] std::string pattern_of_format(std::string_view format);

}  // namespace slora
