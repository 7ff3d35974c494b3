#pragma once
#include <string>
#include <string_view>

namespace slora {

[[nodiscard]] constexpr bool is_json_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }
// What models leave between calls and after them.
[[nodiscard]] constexpr bool is_json_left_over(char c) { return is_json_space(c) || c == '}' || c == ']' || c == ',' || c == ';'; }

// Appends the text as it stands within a JSON string. Requires: it is UTF-8 if the string is to be.
void append_json_text(std::string& out, std::string_view text);

}  // namespace slora
